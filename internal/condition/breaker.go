package condition

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// OpenFor is how long the breaker keeps the agent out of a namespace's pods
// before it is tried again.
const OpenFor = 10 * time.Minute

const emptyDirAvoided = "pods without an emptyDir of their own get the native sleep hook, which waits for no request: " +
	"not every node can mount image volumes, and kubectl drain would refuse them with the agent's emptyDir. " +
	"The operator's flag --avoid-emptydir=false gives them the agent"

// breaker decides AgentInstallable. While that is False the webhook injects
// the native sleep hook, which needs no image.
//
//	NotYetTried ─┬─ a pod with the agent started ──────────── Installable
//	             └─ stuck or refused ── False ── OpenFor over, spec or image changed ── TryingAgain
//	TryingAgain ─┬─ a newer pod with the agent started ────── Recovered
//	             └─ a newer pod stuck, or refused ─────────── False
//
// Where the agent is avoided, EmptyDirAvoided takes the place of NotYetTried and
// Installable: what is known of the few that get it says little of the others.
type breaker struct {
	policy *v1alpha1.DrainPolicy
	// image is the agent's now; policy.Status.AgentImage is what it was.
	image string
	// avoided: most pods go without the agent, so that kubectl drain evicts them.
	avoided bool
	pods    []AgentPod
	trial   Trial
	now     time.Time
}

// condition, and when to look again at the latest; 0 when only events matter.
func (b breaker) condition() (metav1.Condition, time.Duration) {
	before := find(b.policy, v1alpha1.ConditionAgentInstallable)
	switch {
	case b.policy.Spec.PreStop.Strategy != v1alpha1.StrategyAgent && b.policy.Spec.PreStop.Strategy != "":
		return b.set(metav1.ConditionTrue, v1alpha1.ReasonNotNeeded, "the policy's hook needs no agent"), 0
	case before != nil && before.Status == metav1.ConditionFalse:
		return b.whileOpen(*before)
	}
	since := cutoff(before)
	if c, found := b.trouble(since); found {
		return c, OpenFor
	}
	return b.whileClosed(before, since), b.nextStuck(since)
}

// whileOpen stays open until there is a reason to try again.
func (b breaker) whileOpen(before metav1.Condition) (metav1.Condition, time.Duration) {
	remaining := before.LastTransitionTime.Add(OpenFor).Sub(b.now)
	var why string
	switch {
	case before.ObservedGeneration != b.policy.Generation:
		why = "the policy was changed"
	case b.policy.Status.AgentImage != b.image:
		why = "the agent's image was changed"
	case remaining <= 0:
		why = fmt.Sprintf("it could not be installed %.0f minutes ago", OpenFor.Minutes())
	default:
		return before, remaining
	}
	return b.set(metav1.ConditionUnknown, v1alpha1.ReasonTryingAgain, "new pods get the agent again: "+why), b.nextStuck(b.now)
}

// cutoff is the moment before which pods prove nothing any more: those that
// are stuck since before the last try stay so.
func cutoff(before *metav1.Condition) time.Time {
	if before != nil && (before.Reason == v1alpha1.ReasonTryingAgain || before.Reason == v1alpha1.ReasonRecovered) {
		return before.LastTransitionTime.Time
	}
	return time.Time{}
}

// trouble is the evidence against the agent.
func (b breaker) trouble(since time.Time) (metav1.Condition, bool) {
	if b.trial.Result == ResultAgentRefused && b.trial.Generation == b.policy.Generation && !b.trial.At.Before(since) {
		return b.set(metav1.ConditionFalse, v1alpha1.ReasonPodsRefused,
			"pods get the native sleep hook, since they are refused with the agent and accepted without: "+b.trial.Message), true
	}
	stuck := b.stuck(since)
	if len(stuck) == 0 {
		return metav1.Condition{}, false
	}
	first := stuck[0]
	return b.set(metav1.ConditionFalse, v1alpha1.ReasonImagePull, fmt.Sprintf(
		"new pods get the native sleep hook, since %s cannot start with the agent %s: %s. A pod that is stuck stays so until the image can be had or it is deleted",
		first.Name, first.Image, first.Trouble)), true
}

// stuck pods, by name.
func (b breaker) stuck(since time.Time) []AgentPod {
	var stuck []AgentPod
	for _, p := range b.pods {
		if p.Trouble != "" && !p.Created.Before(since) && !b.now.Before(p.Since.Add(StuckAfter)) {
			stuck = append(stuck, p)
		}
	}
	slices.SortFunc(stuck, func(a, b AgentPod) int { return strings.Compare(a.Name, b.Name) })
	return stuck
}

// nextStuck is when the next pod in trouble will count as stuck.
func (b breaker) nextStuck(since time.Time) time.Duration {
	var next time.Duration
	for _, p := range b.pods {
		wait := p.Since.Add(StuckAfter).Sub(b.now)
		if p.Trouble != "" && !p.Created.Before(since) && wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	return next
}

// whileClosed says what is known in favour of the agent.
func (b breaker) whileClosed(before *metav1.Condition, since time.Time) metav1.Condition {
	started := slices.ContainsFunc(b.pods, func(p AgentPod) bool { return p.Started && !p.Created.Before(since) })
	switch {
	case b.avoided && since.IsZero():
		return b.set(metav1.ConditionUnknown, v1alpha1.ReasonEmptyDirAvoided, emptyDirAvoided)
	case before != nil && before.Status == metav1.ConditionTrue && before.Reason != v1alpha1.ReasonNotNeeded:
		return b.set(metav1.ConditionTrue, before.Reason, before.Message)
	case started && !since.IsZero():
		return b.set(metav1.ConditionTrue, v1alpha1.ReasonRecovered, "a pod started with the agent again")
	case started:
		return b.set(metav1.ConditionTrue, v1alpha1.ReasonInstallable, "a pod started with the agent")
	case !since.IsZero():
		return b.set(metav1.ConditionUnknown, before.Reason, before.Message)
	default:
		return b.set(metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet")
	}
}

func (b breaker) set(status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionAgentInstallable, Status: status, Reason: reason, Message: message}
}
