// Package injection works out what becomes of a pod that is created. It is pure:
// the webhook asks it, and metrics count what it says.
package injection

import (
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// Result is what became of one pod.
type Result string

const (
	// ResultInjected: the pod gets what the plan says.
	ResultInjected Result = "Injected"
	// ResultObserved: it would have been injected, and only an Observe policy selects it.
	ResultObserved Result = "Observed"
	// ResultExcluded: a policy selects the pod, and it is left alone for a reason.
	ResultExcluded Result = "Excluded"
	// ResultNotSelected: no policy selects the pod.
	ResultNotSelected Result = "NotSelected"
	// ResultFailed: something went wrong, and the pod is as it was.
	ResultFailed Result = "Failed"
)

// Results are all of them.
var Results = []Result{ResultInjected, ResultObserved, ResultExcluded, ResultNotSelected, ResultFailed}

// Answer says what became of one pod, and why.
type Answer struct {
	Result Result
	// Again is set when the pod was injected before: another webhook changed
	// it since and the API server asks again, or it was created from a copy.
	Again bool
	// Exclusion is set with ResultExcluded.
	Exclusion plan.Exclusion
	// Plan is set with ResultInjected and ResultObserved.
	Plan plan.Plan
	// Err is set with ResultFailed.
	Err error
}

// Decide works out what becomes of the pod, and returns the injected pod with
// ResultInjected. pod is not changed.
func Decide(pod *corev1.Pod, namespace string, policies []*v1alpha1.DrainPolicy, options plan.Options) (Answer, *corev1.Pod) {
	resolution := policy.Resolve(pod, policies)
	chosen := resolution.Effective
	if chosen == nil {
		chosen = resolution.Observed
	}
	if chosen == nil {
		return Answer{Result: ResultNotSelected}, nil
	}
	if reason, excluded := plan.Exclude(pod, namespace, options); excluded {
		return Answer{Result: ResultExcluded, Exclusion: reason}, nil
	}
	options.SleepOnly = options.SleepOnly || agentNotInstallable(policies)
	answer := Answer{Result: ResultObserved, Plan: plan.Build(chosen, pod, options)}
	if resolution.Effective == nil {
		return answer, nil
	}
	answer.Result = ResultInjected
	answer.Again = pod.Labels[v1alpha1.LabelInjected] != ""
	return answer, plan.Apply(answer.Plan, pod)
}

// agentNotInstallable is the breaker: it holds for a namespace, whichever
// policy's pods made it trip.
func agentNotInstallable(policies []*v1alpha1.DrainPolicy) bool {
	for _, p := range policies {
		if apimeta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionAgentInstallable) {
			return true
		}
	}
	return false
}
