package drain

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// namespaceController empties a namespace that is being deleted. It stops at
// the first refusal, and may be earlier than the cache's view of the namespace.
const namespaceController = "system:serviceaccount:kube-system:namespace-controller"

// disruptions are reasons of the pod condition DisruptionTarget for which a
// pod has to go at once. Not among them is EvictionByEvictionAPI: an eviction
// can wait.
var disruptions = []string{
	"DeletionByTaintManager",       // tries five times within 50 ms, then never again
	"DeletionByDeviceTaintManager", // the pod's device is gone
	"DeletionByPodGC",              // the pod's node is gone
	corev1.PodReasonPreemptionByScheduler,
	"PreemptionByKubeScheduler", // the same, before Kubernetes 1.26
}

// allowances in the order in which they are asked; the first that applies lets
// the request pass. docs/gate.md says why for each.
//
// The first seven hold whatever any policy says. Of the rest, those from
// drained on stand on what the leader wrote to the pod.
var allowances = []struct {
	reason  VerdictReason
	applies func(s Snapshot, now time.Time) bool
}{
	{AllowedNotMeant, Snapshot.notMeant},
	{AllowedTerminating, Snapshot.terminating},
	{AllowedByOperator, Snapshot.byOperator},
	{AllowedForced, Snapshot.forced},
	{AllowedNamespaceEnds, Snapshot.namespaceEnds},
	{AllowedDisrupted, Snapshot.disrupted},
	{AllowedNothingRuns, Snapshot.nothingRuns},
	{AllowedNotHeld, Snapshot.notHeld},
	{AllowedNoGate, Snapshot.noGate},
	{AllowedUnreachable, Snapshot.unreachable},
	{AllowedDrained, Snapshot.drained},
	{AllowedBound, Snapshot.pastBound},
	{AllowedStatusUnknown, Snapshot.statusUnknown},
}

// Decide answers a request, by the first rule that knows.
//
// It looks at nothing but what the leader wrote to the pod's conditions and at
// the clock: all replicas give the same answer.
func Decide(s Snapshot, now time.Time) Verdict {
	for _, allowance := range allowances {
		if allowance.applies(s, now) {
			return Verdict{Allow: true, Reason: allowance.reason}
		}
	}
	return s.refuse(now)
}

// refuse says what is waited for, and what is to be recorded.
func (s Snapshot) refuse(now time.Time) Verdict {
	w, write := merged(s.Pod, s.Ask, now)
	until := w.Until(MaxHold(s.Policy))
	v := Verdict{
		Reason:  RefusedNotDrained,
		Message: s.refusal(w, until, now),
		After:   until.Sub(now),
	}
	if write && !s.Ask.DryRun {
		c := w.Condition()
		v.Record = &c
	}
	return v
}

// refusal is for people, and for the logs of whoever asked.
func (s Snapshot) refusal(w Wish, until, now time.Time) string {
	waiting := "it is about to be taken out of rotation"
	c := podCondition(s.Pod, v1alpha1.PodDrained)
	if _, wished := WishOf(s.Pod); wished && c != nil && c.Status == corev1.ConditionFalse && c.Message != "" {
		waiting = bounded(c.Message)
	}
	ends := "deleted"
	if w.Kind == Evict {
		ends = "evicted"
	}
	return fmt.Sprintf("pod %s/%s is held until it has drained (DrainPolicy %s). Waiting: %s. Held since %s, it goes by %s at the latest. "+
		"Ask again, or wait: it is %s as soon as it has drained",
		s.Pod.Namespace, s.Pod.Name, s.Policy.Name, waiting, clock(w.Since, now), clock(until, now), ends)
}

// clock is a time of day, with the date where it is another day's than now.
func clock(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	if t.Truncate(24 * time.Hour).Equal(now.Truncate(24 * time.Hour)) {
		return t.Format("15:04:05Z")
	}
	return t.Format(time.RFC3339)
}

// notMeant: there is no such pod, not any more, or it is not injected.
func (s Snapshot) notMeant(_ time.Time) bool {
	if s.Pod == nil || s.Ask.UID != "" && s.Ask.UID != s.Pod.UID {
		return true
	}
	return s.Pod.Labels[v1alpha1.LabelInjected] != "true"
}

// terminating: its deletion was accepted; what comes now shortens or ends it.
func (s Snapshot) terminating(_ time.Time) bool { return s.Pod.DeletionTimestamp != nil }

func (s Snapshot) byOperator(_ time.Time) bool { return s.Ask.ByOperator }

// forced: a grace of 0 is asked for by who knows what it does: kubectl delete
// --force, pod garbage collection, node controllers.
func (s Snapshot) forced(_ time.Time) bool {
	return s.Ask.GraceSeconds != nil && *s.Ask.GraceSeconds == 0
}

// namespaceEnds: one refusal would stop the namespace's deletion for a minute.
func (s Snapshot) namespaceEnds(_ time.Time) bool {
	return s.NamespaceTerminating || s.Ask.User == namespaceController
}

// disrupted: whoever needs the pod gone does not wait, or never asks again.
func (s Snapshot) disrupted(_ time.Time) bool {
	c := podCondition(s.Pod, corev1.DisruptionTarget)
	return c != nil && c.Status == corev1.ConditionTrue && slices.Contains(disruptions, c.Reason)
}

func (s Snapshot) nothingRuns(_ time.Time) bool { return nothingRuns(s.Pod) }

// notHeld: no policy wants it (any more), or the operator is being removed.
func (s Snapshot) notHeld(_ time.Time) bool { return s.Releasing || !Holds(s.Policy) }

// noGate: the pod could not be taken out of rotation, and would never drain.
func (s Snapshot) noGate(_ time.Time) bool { return !HasReadinessGate(s.Pod) }

// unreachable: nobody has read the drain status of the policy's pods lately,
// so that nobody would notice that this one has drained. A pod that is held
// already stays so: for it the leader's own looks count.
func (s Snapshot) unreachable(_ time.Time) bool {
	return !Held(s.Pod) && !meta.IsStatusConditionTrue(s.Policy.Status.Conditions, v1alpha1.ConditionDrainStatusReachable)
}

// drained: the leader saw so, of a pod that is out of rotation. What is left
// of an earlier hold says nothing of a pod that is in rotation again.
func (s Snapshot) drained(_ time.Time) bool {
	return Held(s.Pod) && hasCondition(s.Pod, v1alpha1.PodDrained, corev1.ConditionTrue)
}

// pastBound: it was first refused longer ago than its policy allows.
func (s Snapshot) pastBound(now time.Time) bool {
	w, wished := WishOf(s.Pod)
	return wished && !now.Before(w.Until(MaxHold(s.Policy)))
}

// statusUnknown: the leader cannot read the drain status, and the policy says
// that the pod is to be left to its hook.
func (s Snapshot) statusUnknown(_ time.Time) bool {
	return Held(s.Pod) && hasCondition(s.Pod, v1alpha1.PodDrained, corev1.ConditionUnknown) &&
		s.Policy.Spec.Gate.OnStatusFailure != v1alpha1.OnStatusFailureHold
}
