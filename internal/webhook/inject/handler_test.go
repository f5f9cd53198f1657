package inject

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// recorder keeps what it is told.
type recorder struct{ answers []injection.Answer }

func (r *recorder) Record(answer injection.Answer, _ time.Duration) {
	r.answers = append(r.answers, answer)
}

func (r *recorder) results() []injection.Result {
	var results []injection.Result
	for _, answer := range r.answers {
		results = append(results, answer.Result)
	}
	return results
}

const image = "registry.example.com/agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func handler(policies Policies) (*Handler, *recorder) {
	recorder := &recorder{}
	options := func() plan.Options {
		return plan.Options{AgentImage: image, Delivery: plan.InitContainer, OperatorNamespace: "drain-operator-system"}
	}
	return NewHandler(policies, options, recorder), recorder
}

func always(policies ...*v1alpha1.DrainPolicy) Policies {
	return func(context.Context, string, map[string]string) ([]*v1alpha1.DrainPolicy, error) {
		return policies, nil
	}
}

func creation(raw string) admission.Request {
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID:       "u",
		Operation: admissionv1.Create,
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Namespace: "shop",
		Object:    runtime.RawExtension{Raw: []byte(raw)},
	}}
}

// future is a pod with fields that this build does not know, at every level.
const future = `{"apiVersion":"v1","kind":"Pod",
	"metadata":{"generateName":"web-","labels":{"app":"web"},"future":1},
	"spec":{
		"initContainers":[{"name":"first","image":"a","future":2},{"name":"second","image":"b","future":3}],
		"containers":[{"name":"app","image":"c","future":4,"lifecycle":{"future":5},"livenessProbe":{"httpGet":{"port":80},"future":6}},{"name":"side","image":"d","future":7}],
		"volumes":[{"name":"v","emptyDir":{},"future":8}],
		"future":9},
	"future":10}`

func TestFieldsOfNewerVersionsSurvive(t *testing.T) {
	h, _ := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj()))
	response := h.Handle(t.Context(), creation(future))
	if !response.Allowed || response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("allowed: %t, type of the patch: %v", response.Allowed, response.PatchType)
	}
	got := apply(t, future, response)
	for path, want := range map[string]float64{
		"metadata.future":                          1,
		"spec.initContainers.first.future":         2,
		"spec.initContainers.second.future":        3,
		"spec.containers.app.future":               4,
		"spec.containers.app.lifecycle.future":     5,
		"spec.containers.app.livenessProbe.future": 6,
		"spec.containers.side.future":              7,
		"spec.volumes.v.future":                    8,
		"spec.future":                              9,
		"future":                                   10,
	} {
		if value := at(got, path); value != want {
			t.Errorf("%s: got %v, want %v", path, value, want)
		}
	}
	if value := at(got, "spec.initContainers.drain-operator-agent.image"); value != image {
		t.Errorf("the agent's image: %v", value)
	}
	if value := at(got, "spec.initContainers.drain-operator-agent.future"); value != nil {
		t.Errorf("the agent's container got somebody else's field: %v", value)
	}
}

// at follows names into maps and into lists of named elements.
func at(value any, path string) any {
	for _, name := range strings.Split(path, ".") {
		switch current := value.(type) {
		case map[string]any:
			value = current[name]
		case []any:
			value = nil
			for _, element := range current {
				if fields, ok := element.(map[string]any); ok && fields["name"] == name {
					value = element
				}
			}
		default:
			return nil
		}
	}
	return value
}

func apply(t *testing.T, raw string, response admission.Response) any {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply([]byte(raw))
	if err != nil {
		t.Fatalf("applying %s: %v", response.Patch, err)
	}
	return tree(t, patched)
}

func TestWhateverGoesWrongThePodIsCreated(t *testing.T) {
	web := testbuild.MakePolicy("web").Selects("app", "web").Obj()
	for name, tc := range map[string]struct {
		policies Policies
		request  admission.Request
		want     injection.Result
	}{
		"the policies cannot be read": {
			policies: func(context.Context, string, map[string]string) ([]*v1alpha1.DrainPolicy, error) {
				return nil, errors.New("no cache")
			},
			request: creation(future), want: injection.ResultFailed,
		},
		"a panic": {
			policies: func(context.Context, string, map[string]string) ([]*v1alpha1.DrainPolicy, error) {
				panic("at the disco")
			},
			request: creation(future), want: injection.ResultFailed,
		},
		"not a pod":           {policies: always(web), request: creation(`{"apiVersion":"v1","kind":"Node"}`), want: injection.ResultFailed},
		"not JSON":            {policies: always(web), request: creation(`{`), want: injection.ResultFailed},
		"nothing":             {policies: always(web), request: creation(``), want: injection.ResultFailed},
		"another resource":    {policies: always(web), request: with(creation(future), func(r *admission.Request) { r.Resource.Resource = "nodes" }), want: injection.ResultNotSelected},
		"another operation":   {policies: always(web), request: with(creation(future), func(r *admission.Request) { r.Operation = admissionv1.Update }), want: injection.ResultNotSelected},
		"a subresource":       {policies: always(web), request: with(creation(future), func(r *admission.Request) { r.SubResource = "eviction" }), want: injection.ResultNotSelected},
		"no policy":           {policies: always(), request: creation(future), want: injection.ResultNotSelected},
		"an Observe policy":   {policies: always(testbuild.MakePolicy("web").Selects("app", "web").Observe().Obj()), request: creation(future), want: injection.ResultObserved},
		"a namespace of ours": {policies: always(web), request: with(creation(future), func(r *admission.Request) { r.Namespace = "drain-operator-system" }), want: injection.ResultExcluded},
	} {
		t.Run(name, func(t *testing.T) {
			h, recorder := handler(tc.policies)
			response := h.Handle(t.Context(), tc.request)
			if !response.Allowed || len(response.Patches) > 0 || response.Patch != nil {
				t.Errorf("allowed: %t, operations: %v, patch: %s", response.Allowed, response.Patches, response.Patch)
			}
			if diff := cmp.Diff([]injection.Result{tc.want}, recorder.results()); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
			if failed := recorder.answers[0].Err != nil; failed != (tc.want == injection.ResultFailed) {
				t.Errorf("error: %v", recorder.answers[0].Err)
			}
		})
	}
}

func with(request admission.Request, change func(*admission.Request)) admission.Request {
	change(&request)
	return request
}

func TestDryRunsAreAnsweredAndNotCounted(t *testing.T) {
	h, recorder := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj()))
	request := creation(future)
	counted := h.Handle(t.Context(), request)
	request.DryRun = ptr.To(true)
	dry := h.Handle(t.Context(), request)
	if diff := cmp.Diff(string(counted.Patch), string(dry.Patch)); diff != "" {
		t.Errorf("a dry run differs (-counted +dry):\n%s", diff)
	}
	if diff := cmp.Diff([]injection.Result{injection.ResultInjected}, recorder.results()); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
}

func TestTheBreakerHoldsForTheNamespace(t *testing.T) {
	tripped := testbuild.MakePolicy("other").Selects("app", "other").Obj()
	tripped.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAgentInstallable, Status: metav1.ConditionFalse}}
	h, _ := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj(), tripped))
	pod := apply(t, future, h.Handle(t.Context(), creation(future)))
	if at(pod, "spec.initContainers.drain-operator-agent") != nil {
		t.Error("the agent is installed")
	}
	if at(pod, "spec.containers.app.lifecycle.preStop.sleep") == nil {
		t.Error("the app has no native sleep")
	}
}

func BenchmarkHandle(b *testing.B) {
	h, _ := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj()))
	request := creation(future)
	for b.Loop() {
		h.Handle(b.Context(), request)
	}
}
