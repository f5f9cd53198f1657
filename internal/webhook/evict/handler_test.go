package evict

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/eviction"
	"github.com/drain-operator/drain-operator/internal/plan"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

type recorder struct{ answers []eviction.Answer }

func (r *recorder) Record(answer eviction.Answer) { r.answers = append(r.answers, answer) }

// handler knows the pod shop/web-1, with a grace of 90 s, and its policy, by
// which it would get 300 s now.
func handler() (*Handler, *recorder) {
	policy := testbuild.MakePolicy("web").Selects("app", "web")
	pod := testbuild.MakePod("web-1").Label("app", "web").Grace(30).Container(testbuild.MakeContainer("app")).Obj()
	pod = plan.Apply(plan.Build(policy.Obj(), pod, plan.Options{}), pod)
	r := &recorder{}
	return &Handler{
		Pods: func(_ context.Context, namespace, name string) (*corev1.Pod, error) {
			if namespace != "shop" || name != "web-1" {
				return nil, nil
			}
			return pod, nil
		},
		Policies: func(context.Context, string) ([]*v1alpha1.DrainPolicy, error) {
			return []*v1alpha1.DrainPolicy{policy.GraceBounds(300, 600).Obj()}, nil
		},
		Recorder: r,
	}, r
}

func creation(raw string) admission.Request {
	return admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		UID: "u", Operation: admissionv1.Create,
		Resource:    metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
		SubResource: "eviction",
		Namespace:   "shop", Name: "web-1",
		Object: runtime.RawExtension{Raw: []byte(raw)},
	}}
}

// Only the grace is added, in whatever version and with whatever else the
// eviction comes.
func TestLengthens(t *testing.T) {
	tests := map[string]struct{ raw, want string }{
		"policy/v1": {
			`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1","namespace":"shop"}}`,
			`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"web-1","namespace":"shop"},"deleteOptions":{"gracePeriodSeconds":300}}`,
		},
		"policy/v1beta1": {
			`{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"web-1"}}`,
			`{"apiVersion":"policy/v1beta1","kind":"Eviction","metadata":{"name":"web-1"},"deleteOptions":{"gracePeriodSeconds":300}}`,
		},
		"no options":    {`{"deleteOptions":null}`, `{"deleteOptions":{"gracePeriodSeconds":300}}`},
		"empty options": {`{"deleteOptions":{}}`, `{"deleteOptions":{"gracePeriodSeconds":300}}`},
		"the pod's own": {`{"deleteOptions":{"gracePeriodSeconds":90}}`, `{"deleteOptions":{"gracePeriodSeconds":300}}`},
		"fields of a newer version": {
			`{"future":1,"deleteOptions":{"gracePeriodSeconds":null,"future":2}}`,
			`{"future":1,"deleteOptions":{"gracePeriodSeconds":300,"future":2}}`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, r := handler()
			response := h.Handle(t.Context(), creation(tc.raw))
			if !response.Allowed {
				t.Fatal("refused")
			}
			if diff := cmp.Diff(tree(t, []byte(tc.want)), tree(t, apply(t, tc.raw, response))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]eviction.Answer{{Result: eviction.ResultLengthened, GraceSeconds: 300}}, r.answers); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

func apply(t *testing.T, raw string, response admission.Response) []byte {
	t.Helper()
	encoded, err := json.Marshal(response.Patches)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply([]byte(raw))
	if err != nil {
		t.Fatalf("applying %s: %v", encoded, err)
	}
	return patched
}

func tree(t *testing.T, doc []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(doc, &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestOtherEvictionsGoOnAsTheyAre(t *testing.T) {
	const plain = `{"apiVersion":"policy/v1","kind":"Eviction"}`
	request := func(change func(*admission.Request)) admission.Request {
		r := creation(plain)
		change(&r)
		return r
	}
	tests := map[string]struct {
		change  func(*Handler)
		request admission.Request
		want    eviction.Result
	}{
		"a shorter grace":     {nil, creation(`{"deleteOptions":{"gracePeriodSeconds":5}}`), eviction.ResultAskedFor},
		"no grace":            {nil, creation(`{"deleteOptions":{"gracePeriodSeconds":0}}`), eviction.ResultAskedFor},
		"another pod":         {nil, creation(`{"deleteOptions":{"preconditions":{"uid":"other"}}}`), eviction.ResultNotConcerned},
		"an unknown pod":      {nil, request(func(r *admission.Request) { r.Name = "web-2" }), eviction.ResultNotConcerned},
		"another resource":    {nil, request(func(r *admission.Request) { r.Resource.Resource = "nodes" }), eviction.ResultNotConcerned},
		"another subresource": {nil, request(func(r *admission.Request) { r.SubResource = "" }), eviction.ResultNotConcerned},
		"another operation":   {nil, request(func(r *admission.Request) { r.Operation = admissionv1.Update }), eviction.ResultNotConcerned},
		"not JSON":            {nil, creation(`{`), eviction.ResultFailed},
		"nothing":             {nil, creation(``), eviction.ResultFailed},
		"a grace in words":    {nil, creation(`{"deleteOptions":{"gracePeriodSeconds":"soon"}}`), eviction.ResultFailed},
		"the pods cannot be read": {func(h *Handler) {
			h.Pods = func(context.Context, string, string) (*corev1.Pod, error) { return nil, errors.New("no cache") }
		}, creation(plain), eviction.ResultFailed},
		"the policies cannot be read": {func(h *Handler) {
			h.Policies = func(context.Context, string) ([]*v1alpha1.DrainPolicy, error) { return nil, errors.New("no cache") }
		}, creation(plain), eviction.ResultFailed},
		"a panic": {func(h *Handler) {
			h.Policies = func(context.Context, string) ([]*v1alpha1.DrainPolicy, error) { panic("out of order") }
		}, creation(plain), eviction.ResultFailed},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h, r := handler()
			if tc.change != nil {
				tc.change(h)
			}
			response := h.Handle(t.Context(), tc.request)
			if !response.Allowed || len(response.Patches) > 0 || response.Patch != nil {
				t.Errorf("allowed: %t, operations: %v", response.Allowed, response.Patches)
			}
			if len(r.answers) != 1 || r.answers[0].Result != tc.want || (r.answers[0].Err != nil) != (tc.want == eviction.ResultFailed) {
				t.Errorf("recorded %+v, want one %s", r.answers, tc.want)
			}
		})
	}
}

func TestDryRunsAreAnsweredAndNotCounted(t *testing.T) {
	byRequest := creation(`{}`)
	byRequest.DryRun = ptr.To(true)
	for name, request := range map[string]admission.Request{
		"by the request": byRequest, "by its options": creation(`{"deleteOptions":{"dryRun":["All"]}}`),
	} {
		h, r := handler()
		if response := h.Handle(t.Context(), request); !response.Allowed || len(response.Patches) != 1 {
			t.Errorf("%s: allowed: %t, operations: %v", name, response.Allowed, response.Patches)
		}
		if len(r.answers) > 0 {
			t.Errorf("%s: recorded %+v", name, r.answers)
		}
	}
}
