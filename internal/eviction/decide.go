// Package eviction works out with which grace an evicted pod ends. It is pure:
// the webhook asks it, and metrics count what it says.
package eviction

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Result is what became of one eviction.
type Result string

const (
	// ResultLengthened: the pod gets the grace that it would get now.
	ResultLengthened Result = "Lengthened"
	// ResultLongEnough: the pod would get no longer one.
	ResultLongEnough Result = "LongEnough"
	// ResultAskedFor: whoever evicts asked for another grace than the pod's.
	ResultAskedFor Result = "AskedFor"
	// ResultNotConcerned: the pod is not injected, ends already, is another one
	// than was meant, or its policy is gone or only observes.
	ResultNotConcerned Result = "NotConcerned"
	// ResultFailed: something went wrong, and the eviction is as it was.
	ResultFailed Result = "Failed"
)

// Results are all of them.
var Results = []Result{ResultLengthened, ResultLongEnough, ResultAskedFor, ResultNotConcerned, ResultFailed}

// Answer says what becomes of one eviction.
type Answer struct {
	Result Result
	// GraceSeconds is the grace to ask for, set with ResultLengthened.
	GraceSeconds int64
	// Err is set with ResultFailed.
	Err error
}

// Decide works out what becomes of an eviction with these options, which may
// be nil, of a pod, nil when it is not known. policies are those of its
// namespace.
//
// A pod's grace cannot be changed while it runs, only when it is deleted. Its
// hold has the bound of its admission: what a longer grace adds, the process
// gets after SIGTERM.
func Decide(options *metav1.DeleteOptions, pod *corev1.Pod, policies []*v1alpha1.DrainPolicy) Answer {
	if options == nil {
		options = &metav1.DeleteOptions{}
	}
	if pod == nil || pod.DeletionTimestamp != nil || !means(options.Preconditions, pod) {
		return Answer{Result: ResultNotConcerned}
	}
	p := acting(pod, policies)
	if p == nil {
		return Answer{Result: ResultNotConcerned}
	}
	own := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if pod.Spec.TerminationGracePeriodSeconds != nil {
		own = *pod.Spec.TerminationGracePeriodSeconds
	}
	if asked := options.GracePeriodSeconds; asked != nil && *asked != own {
		return Answer{Result: ResultAskedFor}
	}
	if newer := plan.GraceNow(p, pod); newer > own {
		return Answer{Result: ResultLengthened, GraceSeconds: newer}
	}
	return Answer{Result: ResultLongEnough}
}

// means says whether the eviction is of this pod, and not of one that had its
// name before.
func means(preconditions *metav1.Preconditions, pod *corev1.Pod) bool {
	return preconditions == nil || preconditions.UID == nil || *preconditions.UID == pod.UID
}

// acting is the policy whose settings the pod carries, nil unless it still
// acts on pods.
func acting(pod *corev1.Pod, policies []*v1alpha1.DrainPolicy) *v1alpha1.DrainPolicy {
	name, _, injected := plan.InjectedBy(pod)
	if !injected {
		return nil
	}
	for _, p := range policies {
		if p.Name == name && p.Spec.Mode != v1alpha1.ModeObserve && p.DeletionTimestamp == nil {
			return p
		}
	}
	return nil
}
