// Package evict answers the API server's question what to do with an eviction.
// A pod that was created before its policy learned to give a longer grace gets
// the longer one when it is evicted. It answers from memory, and whatever goes
// wrong, the eviction goes on as it was asked for.
package evict

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime/debug"

	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/eviction"
)

// Pods returns a pod, nil when there is none, from memory. It is not changed.
type Pods func(ctx context.Context, namespace, name string) (*corev1.Pod, error)

// Policies returns the policies of a namespace, from memory.
type Policies func(ctx context.Context, namespace string) ([]*v1alpha1.DrainPolicy, error)

// Recorder is told how each request that is not a dry run was answered.
type Recorder interface {
	Record(answer eviction.Answer)
}

// Handler is the eviction webhook. All fields are required.
type Handler struct {
	Pods     Pods
	Policies Policies
	Recorder Recorder
}

// asked is what matters of an eviction. It is the same in policy/v1 and
// policy/v1beta1, which come as they were asked for.
type asked struct {
	DeleteOptions *metav1.DeleteOptions `json:"deleteOptions"`
}

// Handle always allows. An error or a panic is logged and counted, and the
// eviction stays as it is.
func (h *Handler) Handle(ctx context.Context, req admission.Request) admission.Response {
	var e asked
	response, answer := h.answer(ctx, req, &e)
	if answer.Err != nil {
		logf.FromContext(ctx).Error(answer.Err, "the eviction goes on with the grace that it asks for")
	}
	if !isDryRun(req, e) {
		h.Recorder.Record(answer)
	}
	return response
}

// isDryRun: an eviction may say so in two places, and the API server looks at
// both.
func isDryRun(req admission.Request, e asked) bool {
	return req.DryRun != nil && *req.DryRun || e.DeleteOptions != nil && len(e.DeleteOptions.DryRun) > 0
}

// answer reads the eviction into e, and turns whatever can go wrong into an
// answer that allows.
func (h *Handler) answer(ctx context.Context, req admission.Request, e *asked) (response admission.Response, answer eviction.Answer) {
	response = admission.Allowed("")
	defer func() {
		if r := recover(); r != nil {
			response, answer = admission.Allowed(""), failed(fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	if !isEviction(req) {
		return response, eviction.Answer{Result: eviction.ResultNotConcerned}
	}
	if err := json.Unmarshal(req.Object.Raw, e); err != nil {
		return response, failed(fmt.Errorf("reading the eviction: %w", err))
	}
	answer = h.decide(ctx, req, *e)
	if answer.Result == eviction.ResultLengthened {
		response = admission.Patched("", lengthen(*e, answer.GraceSeconds))
	}
	return response, answer
}

// isEviction: anything else reaches us only when somebody changed the registration.
func isEviction(req admission.Request) bool {
	return req.Operation == admissionv1.Create && req.Resource.Group == "" &&
		req.Resource.Resource == "pods" && req.SubResource == "eviction"
}

func (h *Handler) decide(ctx context.Context, req admission.Request, e asked) eviction.Answer {
	pod, err := h.Pods(ctx, req.Namespace, req.Name)
	if err != nil {
		return failed(err)
	}
	policies, err := h.Policies(ctx, req.Namespace)
	if err != nil {
		return failed(err)
	}
	return eviction.Decide(e.DeleteOptions, pod, policies)
}

func failed(err error) eviction.Answer {
	return eviction.Answer{Result: eviction.ResultFailed, Err: err}
}

// lengthen touches nothing else: an eviction may have fields that this build
// does not know. "add" replaces what is there.
func lengthen(e asked, seconds int64) jsonpatch.Operation {
	if e.DeleteOptions == nil {
		return jsonpatch.NewOperation("add", "/deleteOptions", map[string]any{"gracePeriodSeconds": seconds})
	}
	return jsonpatch.NewOperation("add", "/deleteOptions/gracePeriodSeconds", seconds)
}
