package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

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

func creation(raw string) *admissionv1.AdmissionRequest {
	return &admissionv1.AdmissionRequest{
		UID:       "u",
		Operation: admissionv1.Create,
		Resource:  metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		Namespace: "shop",
		Object:    runtime.RawExtension{Raw: []byte(raw)},
	}
}

// reviewOf is what the API server sends.
func reviewOf(t testing.TB, request *admissionv1.AdmissionRequest) []byte {
	t.Helper()
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// ask asks as the API server does.
func ask(t testing.TB, h *Handler, request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	t.Helper()
	rw := httptest.NewRecorder()
	h.ServeHTTP(rw, httptest.NewRequest(http.MethodPost, "/inject", bytes.NewReader(reviewOf(t, request))))
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(rw.Body.Bytes(), &answer); err != nil || rw.Code != http.StatusOK {
		t.Fatalf("status %d, %v: %s", rw.Code, err, rw.Body)
	}
	if answer.APIVersion != "admission.k8s.io/v1" || answer.Kind != "AdmissionReview" || answer.Response == nil || answer.Response.UID != request.UID {
		t.Fatalf("no answer to the request: %s", rw.Body)
	}
	return answer.Response
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
	response := ask(t, h, creation(future))
	if !response.Allowed || response.PatchType == nil || *response.PatchType != admissionv1.PatchTypeJSONPatch {
		t.Fatalf("allowed: %t, type of the patch: %v", response.Allowed, response.PatchType)
	}
	got := apply(t, future, response.Patch)
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

func apply(t *testing.T, raw string, operations []byte) any {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(operations)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply([]byte(raw))
	if err != nil {
		t.Fatalf("applying %s: %v", operations, err)
	}
	return tree(t, patched)
}

func TestWhateverGoesWrongThePodIsCreated(t *testing.T) {
	web := testbuild.MakePolicy("web").Selects("app", "web").Obj()
	for name, tc := range map[string]struct {
		policies Policies
		request  *admissionv1.AdmissionRequest
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
		"not a pod":               {policies: always(web), request: creation(`{"apiVersion":"v1","kind":"Node"}`), want: injection.ResultFailed},
		"a field of another type": {policies: always(web), request: creation(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":1}}`), want: injection.ResultFailed},
		"an impossible quantity":  {policies: always(web), request: creation(`{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"much"}}}]}}`), want: injection.ResultFailed},
		"not an object":           {policies: always(web), request: creation(`"a"`), want: injection.ResultFailed},
		"nothing":                 {policies: always(web), request: creation(`null`), want: injection.ResultFailed},
		"another resource":        {policies: always(web), request: with(creation(future), func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "nodes" }), want: injection.ResultNotSelected},
		"another operation":       {policies: always(web), request: with(creation(future), func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }), want: injection.ResultNotSelected},
		"a subresource":           {policies: always(web), request: with(creation(future), func(r *admissionv1.AdmissionRequest) { r.SubResource = "eviction" }), want: injection.ResultNotSelected},
		"no policy":               {policies: always(), request: creation(future), want: injection.ResultNotSelected},
		"an Observe policy":       {policies: always(testbuild.MakePolicy("web").Selects("app", "web").Observe().Obj()), request: creation(future), want: injection.ResultObserved},
		"a namespace of ours":     {policies: always(web), request: with(creation(future), func(r *admissionv1.AdmissionRequest) { r.Namespace = "drain-operator-system" }), want: injection.ResultExcluded},
	} {
		t.Run(name, func(t *testing.T) {
			h, recorder := handler(tc.policies)
			response := ask(t, h, tc.request)
			if !response.Allowed || response.Patch != nil {
				t.Errorf("allowed: %t, patch: %s", response.Allowed, response.Patch)
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

func with(request *admissionv1.AdmissionRequest, change func(*admissionv1.AdmissionRequest)) *admissionv1.AdmissionRequest {
	change(request)
	return request
}

func TestDryRunsAreAnsweredAndNotCounted(t *testing.T) {
	h, recorder := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj()))
	request := creation(future)
	counted := ask(t, h, request)
	request.DryRun = ptr.To(true)
	dry := ask(t, h, request)
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
	pod := apply(t, future, ask(t, h, creation(future)).Patch)
	if at(pod, "spec.initContainers.drain-operator-agent") != nil {
		t.Error("the agent is installed")
	}
	if at(pod, "spec.containers.app.lifecycle.preStop.sleep") == nil {
		t.Error("the app has no native sleep")
	}
}

// What is no review cannot be answered. The API server creates the pod then.
func TestReviewsThatCannotBeRead(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":          ``,
		"not JSON":         `{`,
		"cut short":        `{"request":{"uid":"u"`,
		"no request":       `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`,
		"no UID":           `{"request":{"namespace":"shop"}}`,
		"too long to read": `{"request":{"uid":"u"},"x":"` + strings.Repeat("x", 8<<20) + `"}`,
	} {
		for _, announced := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, length announced: %t", name, announced), func(t *testing.T) {
				h, recorder := handler(always())
				request := httptest.NewRequest(http.MethodPost, "/inject", strings.NewReader(body))
				if !announced {
					request.ContentLength = -1
				}
				rw := httptest.NewRecorder()
				h.ServeHTTP(rw, request)
				if rw.Code != http.StatusBadRequest || len(recorder.answers) > 0 {
					t.Errorf("status %d, %d answers", rw.Code, len(recorder.answers))
				}
			})
		}
	}
}

func BenchmarkServe(b *testing.B) {
	h, _ := handler(always(testbuild.MakePolicy("web").Selects("app", "web").Obj()))
	body := reviewOf(b, creation(future))
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/inject", bytes.NewReader(body)))
	}
}
