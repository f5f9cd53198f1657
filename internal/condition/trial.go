package condition

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Result of a dry run of the canary.
type Result string

const (
	// ResultNone: there has been no dry run yet.
	ResultNone Result = ""
	// ResultInjected: it came back with the settings of this generation.
	ResultInjected Result = "Injected"
	// ResultStale: it came back with the settings of another generation.
	ResultStale Result = "Stale"
	// ResultOther: it came back with the settings of another policy.
	ResultOther Result = "Other"
	// ResultNotInjected: it came back as it was sent.
	ResultNotInjected Result = "NotInjected"
	// ResultAgentRefused: it was refused, and accepted without injection.
	ResultAgentRefused Result = "AgentRefused"
	// ResultRefused: it was refused with and without injection.
	ResultRefused Result = "Refused"
	// ResultUnsatisfiable: no pod can match the selector.
	ResultUnsatisfiable Result = "Unsatisfiable"
)

// Trial is what the last dry run of a policy's canary showed.
type Trial struct {
	Result Result
	// Message is the API server's, when it refused the pod.
	Message string
	// InjectionDisabled says that the namespace's label turns injection off.
	InjectionDisabled bool
	// Excluded says why injection leaves the namespace alone; empty if it does not.
	Excluded plan.Exclusion

	// Generation and Mode of the policy at that time.
	Generation int64
	Mode       v1alpha1.Mode
	// At is when the dry run was made.
	At time.Time
	// Tries is how many in a row had this result.
	Tries int
}

// CameBack says what the pod that the API server returned shows.
func CameBack(p *v1alpha1.DrainPolicy, pod *corev1.Pod) Result {
	name, generation, ok := InjectedBy(pod)
	switch {
	case !ok:
		return ResultNotInjected
	case name != p.Name:
		return ResultOther
	case generation != p.Generation:
		return ResultStale
	default:
		return ResultInjected
	}
}

// Follows returns the trial with its Tries counted on from the one before.
func (t Trial) Follows(before Trial) Trial {
	t.Tries = 1
	if before.Result == t.Result && before.Generation == t.Generation && before.Mode == t.Mode {
		t.Tries = before.Tries + 1
	}
	return t
}

// wanted says that the trial shows what the policy asks for.
func (t Trial) wanted() bool {
	if t.Mode == v1alpha1.ModeObserve {
		return t.Result == ResultNotInjected || t.Result == ResultOther
	}
	return t.Result == ResultInjected
}

// TrialPeriod is the time between two dry runs of a policy that works, and the
// most between the first two.
const TrialPeriod = 5 * time.Minute

// retries while the webhook configuration, or the policy itself, is still on
// its way to the API server and to the webhook's cache.
var retries = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// Next is when the canary should be tried again.
func (t Trial) Next(p *v1alpha1.DrainPolicy) time.Time {
	agent := find(p, v1alpha1.ConditionAgentInstallable)
	switch {
	case t.Result == ResultNone, t.Generation != p.Generation:
		return time.Time{}
	case agent != nil && agent.LastTransitionTime.After(t.At): // the breaker opened, or tries again
		return time.Time{}
	case !t.wanted() && t.Tries <= len(retries):
		return t.At.Add(retries[t.Tries-1])
	default:
		return nextTurn(p.UID, t.At)
	}
}

// nextTurn is the first time after another, within TrialPeriod, at which it is a
// policy's turn. Policies take turns: those that were all tried at once, at a
// cold start, are spread evenly from then on.
func nextTurn(uid types.UID, after time.Time) time.Time {
	var turn uint32
	for _, b := range []byte(uid) {
		turn = turn*31 + uint32(b)
	}
	next := after.Truncate(TrialPeriod).Add(time.Duration(turn) * time.Millisecond % TrialPeriod)
	if !next.After(after) {
		next = next.Add(TrialPeriod)
	}
	return next
}

// ready is what the trial says about the policy.
func (t Trial) ready(p *v1alpha1.DrainPolicy) metav1.Condition {
	status, reason, message := t.verdict(p)
	return metav1.Condition{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}
}

func (t Trial) verdict(p *v1alpha1.DrainPolicy) (metav1.ConditionStatus, string, string) {
	switch {
	case t.Result == ResultNone || t.Generation != p.Generation:
		return metav1.ConditionUnknown, v1alpha1.ReasonNotYetChecked, "no dry-run pod has been created yet"
	case t.Result == ResultUnsatisfiable:
		return metav1.ConditionFalse, v1alpha1.ReasonUnsatisfiable, "no pod can match the selector"
	case t.Mode == v1alpha1.ModeObserve && t.wanted():
		return metav1.ConditionTrue, v1alpha1.ReasonObserving, "nothing is injected in mode Observe"
	case t.Mode == v1alpha1.ModeObserve && (t.Result == ResultInjected || t.Result == ResultStale):
		return metav1.ConditionFalse, v1alpha1.ReasonNotInjected, "a dry-run pod still comes back injected: the webhook has not seen the change of mode yet"
	case t.Result == ResultInjected:
		return metav1.ConditionTrue, v1alpha1.ReasonInjectionWorks, "a dry-run pod came back injected"
	case t.Result == ResultRefused:
		return metav1.ConditionUnknown, v1alpha1.ReasonDryRunRefused, "a dry-run pod is refused with and without injection, so that nothing is known: " + t.Message
	case t.Result == ResultAgentRefused:
		return metav1.ConditionFalse, v1alpha1.ReasonDryRunRefused, "a dry-run pod is refused with injection, and accepted without: " + t.Message
	case t.InjectionDisabled:
		return metav1.ConditionFalse, v1alpha1.ReasonInjectionDisabled,
			fmt.Sprintf("the namespace has the label %s=%s", v1alpha1.LabelInjection, v1alpha1.InjectionDisabled)
	case t.Excluded != "":
		return metav1.ConditionFalse, v1alpha1.ReasonNamespaceExcluded, fmt.Sprintf("injection leaves this namespace alone: %s", t.Excluded)
	default:
		return metav1.ConditionFalse, v1alpha1.ReasonNotInjected, t.notInjected()
	}
}

// notInjected says what to look at.
func (t Trial) notInjected() string {
	switch t.Result {
	case ResultStale:
		return "a dry-run pod comes back with the settings of another edit of this policy: the webhook has not seen this one yet"
	case ResultOther:
		return "a dry-run pod that names this policy comes back with the settings of another one: look for a webhook that removes the annotation " + v1alpha1.AnnotationPolicy
	default:
		return "a dry-run pod came back as it was: look whether the operator's pods are ready, whether its MutatingWebhookConfiguration lists this namespace, and whether another webhook undoes the injection"
	}
}

// RestoredTrial is the trial that another leader made, as far as the policy's
// status tells: a new leader must not try all policies at once. Where the
// status tells of no success, there was none.
func RestoredTrial(p *v1alpha1.DrainPolicy, now time.Time) Trial {
	before := find(p, v1alpha1.ConditionReady)
	if before == nil || before.Status != metav1.ConditionTrue || before.ObservedGeneration != p.Generation {
		return Trial{}
	}
	result := ResultInjected
	if p.Spec.Mode == v1alpha1.ModeObserve {
		result = ResultNotInjected
	}
	return Trial{Result: result, Generation: p.Generation, Mode: p.Spec.Mode, At: now, Tries: 1}
}
