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
	{AllowedNotMeant, notMeant},
	{AllowedTerminating, terminating},
	{AllowedByOperator, byOperator},
	{AllowedForced, forced},
	{AllowedNamespaceEnds, namespaceEnds},
	{AllowedDisrupted, disrupted},
	{AllowedNothingRuns, nothingRunsIn},
	{AllowedNotHeld, notHeld},
	{AllowedNoGate, noGate},
	{AllowedUnreachable, unreachable},
	{AllowedDrained, drained},
	{AllowedBound, pastBound},
	{AllowedStatusUnknown, statusUnknown},
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
	return refuse(s, now)
}

// refuse says what is waited for, and what is to be recorded.
func refuse(s Snapshot, now time.Time) Verdict {
	w, write := merged(s.Pod, s.Ask, now)
	until := w.Until(MaxHold(s.Policy))
	v := Verdict{
		Reason:  RefusedNotDrained,
		Message: refusal(s, w, until, now),
		After:   until.Sub(now),
	}
	if write && !s.Ask.DryRun {
		c := w.Condition()
		v.Record = &c
	}
	return v
}

// refusal is for people, and for the logs of whoever asked.
func refusal(s Snapshot, w Wish, until, now time.Time) string {
	waiting := "waiting to be taken out of rotation"
	if c := podCondition(s.Pod, v1alpha1.PodDrained); c != nil && c.Status == corev1.ConditionFalse && c.Message != "" && Held(s.Pod) {
		waiting = bounded(c.Message)
	}
	ends := "deleted"
	if w.Kind == Evict {
		ends = "evicted"
	}
	return fmt.Sprintf("pod %s/%s is held until it has drained (DrainPolicy %s): %s; held since %s, it goes by %s at the latest. "+
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
func notMeant(s Snapshot, _ time.Time) bool {
	if s.Pod == nil || s.Ask.UID != "" && s.Ask.UID != s.Pod.UID {
		return true
	}
	return s.Pod.Labels[v1alpha1.LabelInjected] != "true"
}

// terminating: its deletion was accepted; what comes now shortens or ends it.
func terminating(s Snapshot, _ time.Time) bool { return s.Pod.DeletionTimestamp != nil }

func byOperator(s Snapshot, _ time.Time) bool { return s.Ask.ByOperator }

// forced: a grace of 0 is asked for by who knows what it does: kubectl delete
// --force, pod garbage collection, node controllers.
func forced(s Snapshot, _ time.Time) bool {
	return s.Ask.GraceSeconds != nil && *s.Ask.GraceSeconds == 0
}

// namespaceEnds: one refusal would stop the namespace's deletion for a minute.
func namespaceEnds(s Snapshot, _ time.Time) bool {
	return s.NamespaceTerminating || s.Ask.User == namespaceController
}

// disrupted: whoever needs the pod gone does not wait, or never asks again.
func disrupted(s Snapshot, _ time.Time) bool {
	c := podCondition(s.Pod, corev1.DisruptionTarget)
	return c != nil && c.Status == corev1.ConditionTrue && slices.Contains(disruptions, c.Reason)
}

func nothingRunsIn(s Snapshot, _ time.Time) bool { return nothingRuns(s.Pod) }

// notHeld: no policy wants it (any more), or the operator is being removed.
func notHeld(s Snapshot, _ time.Time) bool { return s.Releasing || !Holds(s.Policy) }

// noGate: the pod could not be taken out of rotation, and would never drain.
func noGate(s Snapshot, _ time.Time) bool { return !HasReadinessGate(s.Pod) }

// unreachable: nobody has read the drain status of the policy's pods lately,
// so that nobody would notice that this one has drained. A pod that is held
// already stays so: for it the leader's own looks count.
func unreachable(s Snapshot, _ time.Time) bool {
	return !Held(s.Pod) && !meta.IsStatusConditionTrue(s.Policy.Status.Conditions, v1alpha1.ConditionDrainStatusReachable)
}

// drained: the leader saw so, of a pod that is out of rotation. What is left
// of an earlier hold says nothing of a pod that is in rotation again.
func drained(s Snapshot, _ time.Time) bool {
	return Held(s.Pod) && hasCondition(s.Pod, v1alpha1.PodDrained, corev1.ConditionTrue)
}

// pastBound: it was first refused longer ago than its policy allows.
func pastBound(s Snapshot, now time.Time) bool {
	w, wished := WishOf(s.Pod)
	return wished && !now.Before(w.Until(MaxHold(s.Policy)))
}

// statusUnknown: the leader cannot read the drain status, and the policy says
// that the pod is to be left to its hook.
func statusUnknown(s Snapshot, _ time.Time) bool {
	return Held(s.Pod) && hasCondition(s.Pod, v1alpha1.PodDrained, corev1.ConditionUnknown) &&
		s.Policy.Spec.Gate.OnStatusFailure != v1alpha1.OnStatusFailureHold
}
