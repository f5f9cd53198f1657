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
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

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
func (h *Handler) Handle(ctx context.Context, req *request) *admissionv1.AdmissionResponse {
	start := h.Clock.Now()
	patch, answer := h.answer(ctx, req)
	if answer.Err != nil {
		logf.FromContext(ctx).Error(answer.Err, "the pod is created without injection", "namespace", req.Namespace, "pod", req.podName(), "requestID", req.UID)
	}
	if !req.DryRun {
		h.Recorder.Record(answer, h.Clock.Since(start))
	}
	response := &admissionv1.AdmissionResponse{UID: req.UID, Allowed: true}
	if len(patch) > 0 {
		response.Patch, response.PatchType = patch, ptr.To(admissionv1.PatchTypeJSONPatch)
	}
	return response
}

// answer returns the patch, nil when the pod stays as it is: also when
// something goes wrong, whatever it is.
func (h *Handler) answer(ctx context.Context, req *request) (patch []byte, answer injection.Answer) {
	defer func() {
		if r := recover(); r != nil {
			patch, answer = failed(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	if !isPodCreation(req) {
		return nil, injection.Answer{Result: injection.ResultNotSelected}
	}
	before, err := req.pod()
	if err != nil {
		return failed(err)
	}
	policies, err := h.Policies(ctx, req.Namespace, before.Labels)
	if err != nil {
		return failed(err)
	}
	answer, after := injection.Decide(before, req.Namespace, policies, h.Options())
	if answer.Result != injection.ResultInjected {
		return nil, answer
	}
	if patch, err = difference(before, after, req.wire); err != nil {
		return failed(err)
	}
	return patch, answer
}

// isPodCreation: anything else reaches us only when somebody changed the registration.
func isPodCreation(req *request) bool {
	return req.Operation == admissionv1.Create && req.Resource.Group == "" &&
		req.Resource.Resource == "pods" && req.SubResource == ""
}

func failed(err error) ([]byte, injection.Answer) {
	return nil, injection.Answer{Result: injection.ResultFailed, Err: err}
}

// difference is the patch from one pod to the other, nil when there is none.
// wire is the first one as it came.
func difference(before, after *corev1.Pod, wire func() (any, error)) ([]byte, error) {
	operations, err := createPatch(before, after, wire)
	if err != nil || len(operations) == 0 {
		return nil, err
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encoding the patch: %w", err)
	}
	return patch, nil
}
