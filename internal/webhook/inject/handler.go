// Package inject answers the API server's question what to do with a pod that
// is being created. It answers from memory, within milliseconds, and whatever
// goes wrong, the pod is created as its owner wrote it.
package inject

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Policies returns, from memory, the policies of a namespace that matter to a
// pod with these labels: all that may select it, and of those whose agent
// cannot be installed at least one.
type Policies func(ctx context.Context, namespace string, podLabels map[string]string) ([]*v1alpha1.DrainPolicy, error)

// Recorder is told how each request that is not a dry run was answered.
type Recorder interface {
	Record(answer injection.Answer, took time.Duration)
}

// Handler is the injection webhook.
type Handler struct {
	// Policies that matter to a pod.
	Policies Policies
	// Options as they are now: the delivery changes with the nodes.
	Options func() plan.Options
	// Recorder counts.
	Recorder Recorder
	// Clock times the answers.
	Clock clock.PassiveClock
}

// NewHandler returns a handler.
func NewHandler(policies Policies, options func() plan.Options, recorder Recorder) *Handler {
	return &Handler{
		Policies: policies,
		Options:  options,
		Recorder: recorder,
		Clock:    clock.RealClock{},
	}
}

// Handle always allows. An error or a panic is logged and counted, and the pod
// stays as it is.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	start := h.Clock.Now()
	response, answer := h.answer(ctx, req)
	if answer.Err != nil {
		logf.FromContext(ctx).Error(answer.Err, "the pod is created without injection")
	}
	if req.DryRun == nil || !*req.DryRun {
		h.Recorder.Record(answer, h.Clock.Since(start))
	}
	return response
}

// answer turns whatever can go wrong into an answer that allows.
func (h *Handler) answer(ctx context.Context, req admission.Request) (response admission.Response, answer injection.Answer) {
	defer func() {
		if r := recover(); r != nil {
			answer = injection.Answer{Result: injection.ResultFailed, Err: fmt.Errorf("panic: %v\n%s", r, debug.Stack())}
			response = admission.Allowed("")
		}
	}()
	if !isPodCreation(req) {
		return admission.Allowed(""), injection.Answer{Result: injection.ResultNotSelected}
	}
	before, err := decode(req.Object.Raw)
	if err != nil {
		return failed(err)
	}
	policies, err := h.Policies(ctx, req.Namespace, before.Labels)
	if err != nil {
		return failed(err)
	}
	answer, after := injection.Decide(before, req.Namespace, policies, h.Options())
	if answer.Result != injection.ResultInjected {
		return admission.Allowed(""), answer
	}
	response, err = patched(req.Object.Raw, before, after)
	if err != nil {
		return failed(err)
	}
	return response, answer
}

// isPodCreation: anything else reaches us only when somebody changed the registration.
func isPodCreation(req admission.Request) bool {
	return req.Operation == admissionv1.Create && req.Resource.Group == "" &&
		req.Resource.Resource == "pods" && req.SubResource == ""
}

// decode reads a pod. The scheme's decoders read it three times, to find out
// what it is; here nothing else than a pod is wanted.
func decode(raw []byte) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := utiljson.Unmarshal(raw, pod); err != nil {
		return nil, fmt.Errorf("reading the pod: %w", err)
	}
	if pod.Kind != "" && pod.Kind != "Pod" || pod.APIVersion != "" && pod.APIVersion != "v1" {
		return nil, fmt.Errorf("reading the pod: it is a %s of %s", pod.Kind, pod.APIVersion)
	}
	return pod, nil
}

func failed(err error) (admission.Response, injection.Answer) {
	return admission.Allowed(""), injection.Answer{Result: injection.ResultFailed, Err: err}
}

// patched answers with the difference between the two pods.
func patched(raw []byte, before, after *corev1.Pod) (admission.Response, error) {
	operations, err := createPatch(raw, before, after)
	if err != nil {
		return admission.Response{}, err
	}
	response := admission.Allowed("")
	if len(operations) == 0 {
		return response, nil
	}
	if response.Patch, err = json.Marshal(operations); err != nil {
		return admission.Response{}, fmt.Errorf("encoding the patch: %w", err)
	}
	response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
	return response, nil
}
