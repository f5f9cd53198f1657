// Package gate answers the API server's question whether a pod may be deleted or
// evicted. It answers from memory, calls nobody while answering, and whatever
// goes wrong, the answer is yes.
package gate

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/webhook/review"
)

// Facts are what a verdict stands on besides the request, from memory. Nothing
// of it is changed.
type Facts interface {
	// Pod returns a pod, nil when there is none.
	Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error)
	// Policy returns a policy, nil when there is none.
	Policy(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error)
	// NamespaceTerminating says that a namespace is being deleted.
	NamespaceTerminating(ctx context.Context, namespace string) (bool, error)
	// Releasing says that an uninstall is under way.
	Releasing() bool
}

// Answers is told how each request that is not a dry run was answered. kind is
// empty for a request that nobody should have sent here.
type Answers interface {
	Answered(kind drain.Kind, reason drain.VerdictReason)
}

// Handler is the gate. All fields are required.
type Handler struct {
	Facts Facts
	// IsOperator says whether a user is the operator itself.
	IsOperator func(user string) bool
	// Decide is drain.Decide.
	Decide  func(drain.Snapshot, time.Time) drain.Verdict
	Wishes  Wishes
	Answers Answers
	Clock   clock.PassiveClock
}

// ServeHTTP answers a review, and writes down afterwards what was asked for. To
// write it before would change the pod under the API server's deletion, which
// would then ask once more.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	log := logf.FromContext(r.Context()).WithName("gate")
	req, err := readRequest(rw, r)
	if err != nil {
		log.Error(err, "reading a review")
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	ctx := logf.IntoContext(r.Context(), log)
	response, wish := h.Handle(ctx, req)
	if err := review.Answer(rw, response); err != nil { // the API server has gone
		log.Error(err, "answering a review")
	}
	if wish == nil {
		return
	}
	if err := http.NewResponseController(rw).Flush(); err != nil {
		log.Error(err, "answering a review")
	}
	h.Wishes.Record(ctx, wish.pod, wish.condition)
}

// wish is what is to be written to a pod.
type wish struct {
	pod       *corev1.Pod
	condition corev1.PodCondition
}

// Handle answers, and says what to write to the pod afterwards, nil for nothing.
func (h *Handler) Handle(ctx context.Context, req *request) (*admissionv1.AdmissionResponse, *wish) {
	s, verdict, err := h.answer(ctx, req)
	log := logf.FromContext(ctx).WithValues("namespace", req.Namespace, "pod", req.podName(), "requestID", req.UID)
	switch {
	case err != nil:
		log.Error(err, "the pod's end is not held")
	case !verdict.Allow:
		log.V(1).Info("refused", "kind", s.Ask.Kind, "user", s.Ask.User, "message", verdict.Message)
	}
	response := &admissionv1.AdmissionResponse{UID: req.UID, Allowed: verdict.Allow}
	if !verdict.Allow {
		response.Result = refusal(verdict.Message)
	}
	if s.Ask.DryRun {
		return response, nil
	}
	h.Answers.Answered(s.Ask.Kind, verdict.Reason)
	if verdict.Record == nil || s.Pod == nil {
		return response, nil
	}
	return response, &wish{s.Pod, *verdict.Record}
}

// refusal has no details: with retryAfterSeconds clients would wait inside
// their call, and block whatever else they have to do. kubectl drain asks
// again only after this code.
func refusal(message string) *metav1.Status {
	return &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusTooManyRequests, Reason: metav1.StatusReasonTooManyRequests, Message: message,
	}
}

// answer turns whatever can go wrong into a verdict that allows.
func (h *Handler) answer(ctx context.Context, req *request) (s drain.Snapshot, verdict drain.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
		if err != nil {
			verdict = drain.Verdict{Allow: true, Reason: drain.AllowedFailed}
		}
	}()
	s.Ask, err = req.ask()
	if err != nil {
		return s, verdict, err
	}
	if s.Ask.Kind == "" {
		return s, drain.Verdict{Allow: true, Reason: drain.AllowedNotMeant}, nil
	}
	s.Ask.ByOperator = h.IsOperator(s.Ask.User)
	s.Releasing = h.Facts.Releasing()
	if err := h.look(ctx, req, &s); err != nil {
		return s, verdict, err
	}
	return s, h.Decide(s, h.Clock.Now()), nil
}

// look gathers what is known of the pod. A pod that is being deleted comes as
// the API server has it now, one that is being evicted as it was known last.
func (h *Handler) look(ctx context.Context, req *request, s *drain.Snapshot) (err error) {
	if s.Pod = req.Pod.whole(); s.Ask.Kind == drain.Evict {
		if s.Pod, err = h.Facts.Pod(ctx, req.Namespace, req.Name); err != nil {
			return err
		}
	}
	if s.Pod == nil {
		return nil
	}
	if name, _, injected := plan.InjectedBy(s.Pod); injected {
		if s.Policy, err = h.Facts.Policy(ctx, req.Namespace, name); err != nil {
			return err
		}
	}
	s.NamespaceTerminating, err = h.Facts.NamespaceTerminating(ctx, req.Namespace)
	return err
}
