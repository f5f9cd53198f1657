package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/front"
)

// Bounds of the lists in a status. The API has the same.
const (
	MaxRecentDrains = 32
	MaxDrainingPods = 256
	maxSkipped      = 16
)

// Facts are all that a policy's status is worked out from.
type Facts struct {
	// Policy with the status that it has.
	Policy *v1alpha1.DrainPolicy
	// Coverage of its pods.
	Coverage Coverage
	// AgentPods are the pods of the namespace that carry the agent.
	AgentPods []AgentPod
	// AgentImage is the image that pods get now.
	AgentImage string
	// EmptyDirAvoided: pods that a plain kubectl drain evicts go without the agent.
	EmptyDirAvoided bool
	// Trial is the last dry run.
	Trial Trial
	// Grace is what is recommended now, but for what is applied; nil leaves
	// the status as it is.
	Grace *v1alpha1.GraceStatus
	// Look is the last look at the latency.
	Look Look
	// Ceilings of the platform, and the shortest Notice that the nodes of the
	// policy's pods get; nil where they get none.
	Ceilings Ceilings
	Notice   *Notice
	// Reach is what the operator could read of the drain status. Only under
	// hold Deletion.
	Reach Reach
	// Deadlines are those of the namespace's Deployments, nil while they are
	// not known. Only under hold Deletion.
	Deadlines []Deadline
	// Fronts are the load balancers of the namespace, nil while they are not
	// known.
	Fronts []front.Front
	// Deployed says when the namespace's workloads were deployed, nil while
	// that is not known. Only where long-lived connections were seen.
	Deployed []Deployed
	// Held are the pods with the policy's settings that are held: see Wished.
	Held []*corev1.Pod
	// Draining are the pods with the policy's settings that are terminating.
	Draining []v1alpha1.DrainingPod
	// Ended are the drains that are counted in this status, oldest first, at
	// most MaxRecentDrains, each in no earlier one.
	Ended []v1alpha1.DrainRecord
	Now   time.Time
}

// Decision is what is to be written and said, and when to look again.
type Decision struct {
	Status v1alpha1.DrainPolicyStatus
	Events []Event
	// After is when time alone may change the decision; 0 = never.
	After time.Duration
}

// Decide works out the whole status.
func Decide(f Facts) Decision {
	old := f.Policy.Status
	fronts := Fronts(f.Fronts, f.Coverage.Covered, old.Fronts)
	status := v1alpha1.DrainPolicyStatus{
		ObservedGeneration: f.Policy.Generation,
		Pods:               f.Coverage.Pods,
		Injected:           f.Coverage.Injected,
		Outdated:           f.Coverage.Outdated,
		Draining:           int32(min(len(f.Draining), 1<<30)), //nolint:gosec // bounded
		DrainingPods:       oldest(f.Draining),
		Held:               int32(min(len(f.Held), 1<<30)), //nolint:gosec // bounded
		HeldPods:           heldPods(f.Policy, f.Held),
		Drains:             counted(old.Drains, f.Ended),
		RecentDrains:       recent(old.RecentDrains, f.Ended),
		AgentImage:         f.AgentImage,
		GracePeriod:        graceStatus(f),
		Fronts:             listedFronts(fronts),
		Skipped:            skippedPods(f.Coverage.Skipped),
		Conditions:         slices.Clone(old.Conditions),
	}
	agent, after := breaker{policy: f.Policy, image: f.AgentImage, avoided: f.EmptyDirAvoided, pods: f.AgentPods, trial: f.Trial, now: f.Now}.condition()
	for _, c := range []metav1.Condition{
		f.Trial.ready(f.Policy),
		podsInjected(f.Policy, f.Coverage),
		conflicting(f.Coverage),
		agent,
		reachable(f, status.RecentDrains),
		latencyObserved(f.Policy, f.Look),
		graceWithinCeilings(status.GracePeriod, f.Ceilings, f.Notice),
		holdWithinDeadlines(f.Policy, f.Deadlines),
		serverStopsInTime(f.Policy, status.GracePeriod, f.Coverage.Covered),
		frontsCovered(f.Policy, fronts, f.Fronts != nil, status.GracePeriod),
		connectionsYoungEnough(f.Policy, status.RecentDrains, f.Deployed),
	} {
		c.Message = Shorten(c.Message) // one that is too long keeps all else from being written
		c.ObservedGeneration = f.Policy.Generation
		c.LastTransitionTime = metav1.NewTime(f.Now)
		meta.SetStatusCondition(&status.Conditions, c)
	}
	return Decision{
		Status: status,
		Events: append(transitions(old.Conditions, status.Conditions), drainEvents(f.Ended)...),
		After:  after,
	}
}

// oldest keeps the pods that have been draining for longest.
func oldest(draining []v1alpha1.DrainingPod) []v1alpha1.DrainingPod {
	sorted := slices.SortedFunc(slices.Values(draining), func(a, b v1alpha1.DrainingPod) int {
		if order := a.Since.Compare(b.Since.Time); order != 0 {
			return order
		}
		return strings.Compare(a.UID, b.UID)
	})
	return sorted[:min(len(sorted), MaxDrainingPods)]
}

// counted adds drains to the counters.
func counted(c v1alpha1.DrainCounts, ended []v1alpha1.DrainRecord) v1alpha1.DrainCounts {
	for _, r := range ended {
		switch r.Outcome {
		case v1alpha1.OutcomeDrained:
			c.Drained++
		case v1alpha1.OutcomeTimedOut:
			c.TimedOut++
		case v1alpha1.OutcomeForced:
			c.Forced++
		case v1alpha1.OutcomeSkipped:
			c.Skipped++
		default:
			c.Unknown++
		}
	}
	return c
}

// recent puts the newest first.
func recent(before, ended []v1alpha1.DrainRecord) []v1alpha1.DrainRecord {
	newest := slices.Clone(ended)
	slices.Reverse(newest)
	all := slices.Concat(newest, before)
	return all[:min(len(all), MaxRecentDrains)]
}

// skippedPods keeps the API's bound: the most frequent reasons, those first.
func skippedPods(byReason map[string]int32) []v1alpha1.SkippedPods {
	var counts []v1alpha1.SkippedPods
	for reason, pods := range byReason {
		counts = append(counts, v1alpha1.SkippedPods{Reason: reason, Pods: pods})
	}
	slices.SortFunc(counts, func(a, b v1alpha1.SkippedPods) int {
		return cmp.Or(cmp.Compare(b.Pods, a.Pods), strings.Compare(a.Reason, b.Reason))
	})
	return counts[:min(len(counts), maxSkipped)]
}

// podsInjected says whether every pod carries this generation's settings.
func podsInjected(p *v1alpha1.DrainPolicy, c Coverage) metav1.Condition {
	set := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionPodsInjected, Status: status, Reason: reason, Message: message}
	}
	older := c.Outdated + c.Missing
	switch {
	case c.Pods == 0:
		return set(metav1.ConditionTrue, v1alpha1.ReasonNoPods, "no pod is selected")
	case p.Spec.Mode == v1alpha1.ModeObserve:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonObserving, pods(older+c.Injected-c.Outdated)+" would be injected in mode Enforce")
	case older > 0:
		return set(metav1.ConditionFalse, v1alpha1.ReasonOlderPods, count32(older, "older pod")+": at their next rollout")
	case len(c.Skipped) > 0:
		return set(metav1.ConditionTrue, v1alpha1.ReasonPodsSkipped, fmt.Sprintf("%s injected, left alone: %s", pods(c.Injected), listed(c.Skipped)))
	default:
		return set(metav1.ConditionTrue, v1alpha1.ReasonAllInjected, pods(c.Injected)+" injected")
	}
}

// conflicting names the three that win most pods, and why they win.
func conflicting(c Coverage) metav1.Condition {
	if len(c.Lost) == 0 {
		return metav1.Condition{
			Type: v1alpha1.ConditionConflicting, Status: metav1.ConditionFalse,
			Reason: v1alpha1.ReasonNoConflict, Message: "no other policy wins pods that this one selects",
		}
	}
	lost := map[string]int32{}
	for loss, n := range c.Lost {
		lost[fmt.Sprintf("%s (%s)", loss.Winner, loss.Why)] += n
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionConflicting, Status: metav1.ConditionTrue,
		Reason: v1alpha1.ReasonOutranked, Message: "pods that this policy selects get another one: " + largest(lost, maxNamed),
	}
}

// reachable goes by who has to read the drain status.
func reachable(f Facts, recent []v1alpha1.DrainRecord) metav1.Condition {
	if f.Policy.Spec.Gate.Hold == v1alpha1.HoldDeletion {
		return statusAnswered(f.Policy, f.Reach)
	}
	return drainStatusReachable(recent)
}

// drainStatusReachable goes by the newest drain that tells. Drains that ended
// for other reasons say nothing about the drain status.
func drainStatusReachable(recent []v1alpha1.DrainRecord) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionDrainStatusReachable, Status: metav1.ConditionUnknown,
		Reason: v1alpha1.ReasonNoDrainYet, Message: "no drain has told yet",
	}
	var read, failed int32
	var reason string
	for _, r := range slices.Backward(recent) {
		switch r.Cause {
		case v1alpha1.CauseStatusUnreadable:
			failed++
			reason = r.Reason
			c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonStatusFailed
		case v1alpha1.CauseHoldEnded, v1alpha1.CauseBoundReached:
			read++
			c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonStatusRead
		}
	}
	switch {
	case failed > 0:
		c.Message = fmt.Sprintf("%d of the last %d drains could not read it, the last for this reason: %s", failed, read+failed, reason)
	case read > 0:
		c.Message = "the last drains could read it"
	}
	return c
}

func find(p *v1alpha1.DrainPolicy, conditionType string) *metav1.Condition {
	return meta.FindStatusCondition(p.Status.Conditions, conditionType)
}
