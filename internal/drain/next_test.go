package drain_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// Of the pods below, one that is out was taken out at 10 and seen so at 11: it
// is unseen from 17 (1 s for the API's clock, 5 s of propagation). The policy
// holds for 100 s, a person's wish expires after 300.

const (
	rotationMessage = "it is being taken out of rotation"
	drainedMessage  = "drained"
)

var (
	yes, no = ptr.To(true), ptr.To(false)

	releaseFor = func(why drain.HoldEnd) *drain.Release { return &drain.Release{Kind: drain.Delete, Why: why} }

	out        = func() gated { return inRotation("a").deleted().out(10).held("Rotation", rotationMessage, 10) }
	requestsOf = func(message string, at float64) gated {
		return inRotation("a").deleted().out(10).held("Requests", message, at)
	}

	in = func(at float64) corev1.PodCondition {
		return now(v1alpha1.PodInRotation, corev1.ConditionTrue, "InRotation", "", at, at)
	}
	endedWish = func(reason, message string, at float64) corev1.PodCondition {
		return now(v1alpha1.PodDeletionRequested, corev1.ConditionFalse, reason, message, at, at)
	}
	// since the start of the hold, written now.
	drainedFor = func(reason, message string, since, at float64) corev1.PodCondition {
		return now(v1alpha1.PodDrained, corev1.ConditionFalse, reason, message, since, at)
	}
)

func now(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string, since, at float64) corev1.PodCondition {
	return corev1.PodCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastProbeTime: stamp(at), LastTransitionTime: stamp(since),
	}
}

func busy(at float64) drain.Watched {
	return drain.Watched{
		Last: drainstatus.Reading{State: drainstatus.Busy, InFlight: 3, Reason: "3 in flight, 0 long-lived"},
		At:   moment(at),
	}
}

func looks(n int, first, last float64) drain.Watched {
	return drain.Watched{
		Last: drainstatus.Reading{State: drainstatus.Drained, Reason: "0 in flight, 0 long-lived"},
		At:   moment(last), Drained: n, DrainedSince: moment(first),
	}
}

func failures(n int, last float64) drain.Watched {
	return drain.Watched{
		Last: drainstatus.Reading{State: drainstatus.Unreadable, Reason: "no answer"},
		At:   moment(last), Unreadable: n,
	}
}

func TestNext(t *testing.T) {
	holds := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.Gate.OnStatusFailure = v1alpha1.OnStatusFailureHold })
	observing := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })
	terminates := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination })
	patient := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationSeconds = ptr.To[int32](20) })
	default5 := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationSeconds = nil })
	default540 := policyWeb(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = 0 })

	scaledUp := drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: 3}
	scaledDown := drain.Owner{UID: "1", Kind: "ReplicaSet", Replicas: 0}
	byReplicaSet := func(g gated) gated { return g.asked(drain.Delete, replicaSetController, 0, 0) }
	stopped := func(g gated) gated {
		g.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
		return g
	}
	evicted := func(g gated) gated { return g.asked(drain.Evict, person, 0, 0) }
	ungated := inRotation("a").deleted()
	ungated.Spec.ReadinessGates = nil
	withGrace := inRotation("a").set(drain.Wish{Kind: drain.Evict, By: person, GraceSeconds: ptr.To[int64](7), Since: start, LastAsked: start}.Condition())

	stays := drain.Step{
		Conditions: []corev1.PodCondition{in(20), endedWish("NotHeld", "the pod is no longer held, and its end was refused", 20),
			drainedFor("NotHeld", "", 10, 20)},
		TellDraining: no, Ended: drain.EndNotHeld, Message: "the pod is no longer held, and its end was refused",
	}
	notHeld := drain.Step{
		Release: releaseFor(drain.EndNotHeld), Watch: true, TellDraining: yes,
		WaitingFor: "Rotation", Message: "its policy no longer holds deletions, or the operator is being uninstalled", After: time.Second,
	}
	bound := drain.Step{
		Release:    releaseFor(drain.EndBound),
		Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "BoundReached", "held as long as the policy allows", 100, 100)},
		Watch:      true, WaitingFor: "Eviction", Message: "held as long as the policy allows", After: time.Second,
	}
	boundInRotation := bound
	boundInRotation.Watch, boundInRotation.Began = false, true
	rotation := func(left time.Duration) drain.Step {
		return drain.Step{TellDraining: yes, WaitingFor: "Rotation", Message: rotationMessage, After: left}
	}
	drained := drain.Step{
		Release:    releaseFor(drain.EndDrained),
		Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "Drained", drainedMessage, 20, 20)},
		Watch:      true, TellDraining: yes, WaitingFor: "Eviction", Message: drainedMessage, After: time.Second,
	}
	requests := func(message string, at float64, left time.Duration) drain.Step {
		return drain.Step{
			Conditions: []corev1.PodCondition{drainedFor("Requests", message, 10, at)},
			Watch:      true, TellDraining: yes, WaitingFor: "Requests", Message: message, After: left,
		}
	}
	leaves := func(at float64) drain.Step {
		return drain.Step{
			Conditions: []corev1.PodCondition{
				now(v1alpha1.PodInRotation, corev1.ConditionFalse, "Draining", taken(at).Message, at, at),
				drainedFor("Rotation", rotationMessage, at, at),
			},
			Leaves: true, TellDraining: yes, Began: true,
			WaitingFor: "Rotation", Message: rotationMessage, After: 10 * time.Second,
		}
	}

	tests := map[string]struct {
		s    drain.Situation
		at   float64
		want drain.Step
	}{
		// 1: nothing to do with it.
		"gone":                 {s: drain.Situation{Policy: policyWeb()}},
		"terminating":          {s: drain.Situation{Pod: out().terminating().Pod}},
		"no readiness gate":    {s: drain.Situation{Pod: ungated.Pod, Policy: policyWeb()}},
		"terminating, no wish": {s: drain.Situation{Pod: inRotation("a").without(v1alpha1.PodInRotation).terminating().Pod}},

		// 2: no wish.
		"in rotation": {s: drain.Situation{Pod: inRotation("a").Pod, Policy: policyWeb()}},
		"a new pod": {
			s:  drain.Situation{Pod: inRotation("a").without(v1alpha1.PodInRotation).Pod, Policy: policyWeb()},
			at: 20, want: drain.Step{Conditions: []corev1.PodCondition{in(20)}},
		},
		"out of rotation without a wish": {
			s: drain.Situation{Pod: inRotation("a").out(10).held("Requests", "3", 10).Pod, Policy: policyWeb()}, at: 20,
			want: drain.Step{Conditions: []corev1.PodCondition{in(20), drainedFor("NotHeld", "", 10, 20)}, TellDraining: no, Ended: drain.EndTakenBack, Message: "its owner wants the pod to stay"},
		},
		"taken back a moment ago": {
			s: drain.Situation{Pod: inRotation("a").set(endedWish("TakenBack", "", 9)).held("NotHeld", "", 9).Pod, Policy: policyWeb()}, at: 20,
			want: drain.Step{TellDraining: no},
		},
		"taken back long ago": {
			s: drain.Situation{Pod: inRotation("a").set(endedWish("TakenBack", "", 9)).held("NotHeld", "", 9).Pod, Policy: policyWeb()}, at: 39,
		},
		"a wish that cannot be read": {
			s: drain.Situation{
				Pod:    inRotation("a").set(now(v1alpha1.PodDeletionRequested, corev1.ConditionTrue, "Whatever", "", 0, 0)).Pod,
				Policy: policyWeb(),
			},
			at: 20, want: drain.Step{Conditions: []corev1.PodCondition{endedWish("TakenBack", "its owner wants the pod to stay", 20)}},
		},

		// 3: no longer wanted.
		"taken back from out of rotation": {
			s: drain.Situation{Pod: byReplicaSet(out()).Pod, Policy: policyWeb(), Owner: scaledUp, Watched: looks(9, 18, 19)}, at: 20,
			want: drain.Step{
				Conditions:   []corev1.PodCondition{in(20), endedWish("TakenBack", "its owner wants the pod to stay", 20), drainedFor("NotHeld", "", 10, 20)},
				TellDraining: no, Ended: drain.EndTakenBack, Message: "its owner wants the pod to stay",
			},
		},
		"taken back while it waits for the budget": {
			s: drain.Situation{Pod: byReplicaSet(inRotation("a")).held("Budget", "no", 10).Pod, Policy: policyWeb(), Owner: scaledUp}, at: 20,
			want: drain.Step{
				Conditions: []corev1.PodCondition{endedWish("TakenBack", "its owner wants the pod to stay", 20), drainedFor("NotHeld", "", 10, 20)},
				Ended:      drain.EndTakenBack, Message: "its owner wants the pod to stay",
			},
		},
		"taken back, and the cache does not show yet that it was taken out": {
			s: drain.Situation{
				Pod: byReplicaSet(inRotation("a")).Pod, Policy: policyWeb(), Owner: scaledUp,
				Leaving: map[types.UID]bool{"uid-a": true},
			},
			at: 20,
			want: drain.Step{
				Conditions:   []corev1.PodCondition{now(v1alpha1.PodInRotation, corev1.ConditionTrue, "InRotation", "", -3600, 20), endedWish("TakenBack", "its owner wants the pod to stay", 20)},
				TellDraining: no,
			},
		},
		"asked this moment: the owner in the cache may be older": {
			s: drain.Situation{Pod: byReplicaSet(inRotation("a")).Pod, Policy: policyWeb(), Owner: scaledUp}, at: 0.5,
			want: drain.Step{After: 3500 * time.Millisecond},
		},
		"asked this moment, and out already": {
			s: drain.Situation{Pod: out().asked(drain.Delete, replicaSetController, 0, 19).Pod, Policy: policyWeb(), Owner: scaledUp}, at: 20,
			want: watched(rotation(3 * time.Second)),
		},
		"expired": {
			s: drain.Situation{Pod: out().Pod, Policy: default540, Watched: looks(9, 18, 19)}, at: 300,
			want: drain.Step{
				Conditions: []corev1.PodCondition{in(300), endedWish("Expired", "nobody has asked for the pod's end for 5 minutes", 300),
					drainedFor("NotHeld", "", 10, 300)},
				TellDraining: no, Ended: drain.EndExpired, Message: "nobody has asked for the pod's end for 5 minutes",
			},
		},
		"no longer wanted, no longer held: not released": {
			s: drain.Situation{Pod: byReplicaSet(inRotation("a")).Pod, Owner: scaledUp}, at: 20,
			want: drain.Step{Conditions: []corev1.PodCondition{endedWish("TakenBack", "its owner wants the pod to stay", 20)}},
		},

		// 4: no longer held.
		"its policy is gone":                   {s: drain.Situation{Pod: out().Pod}, at: 20, want: notHeld},
		"mode Observe":                         {s: drain.Situation{Pod: out().Pod, Policy: observing}, at: 20, want: notHeld},
		"hold Termination":                     {s: drain.Situation{Pod: out().Pod, Policy: terminates}, at: 20, want: notHeld},
		"uninstall":                            {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Releasing: true}, at: 20, want: notHeld},
		"its namespace goes":                   {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), NamespaceTerminating: true}, at: 20, want: notHeld},
		"not held, and the API server is busy": {s: drain.Situation{Pod: out().Pod, Refused: "too many requests"}, at: 20, want: notHeld},
		"not held, an eviction": {
			s: drain.Situation{Pod: evicted(out()).Pod}, at: 20,
			want: releasedAs(notHeld, &drain.Release{Kind: drain.Evict, Why: drain.EndNotHeld}),
		},
		"not held, an eviction that is refused": {s: drain.Situation{Pod: evicted(out()).Pod, Refused: "budget"}, at: 20, want: stays},
		"not held, past the bound":              {s: drain.Situation{Pod: out().Pod}, at: 100, want: notHeld},

		// 5: past the bound, nothing runs.
		"past the bound, requests in flight": {s: drain.Situation{Pod: requestsOf("3", 95).Pod, Policy: policyWeb(), Watched: busy(99)}, at: 100, want: bound},
		"past the bound, in rotation": {
			s: drain.Situation{Pod: inRotation("a").deleted().Pod, Policy: policyWeb(), Budgets: []*policyv1.PodDisruptionBudget{budget(1, 0)}}, at: 100,
			want: boundInRotation,
		},
		"just before the bound": {
			s: drain.Situation{Pod: requestsOf("3 in flight, 0 long-lived", 75).Pod, Policy: policyWeb(), Watched: busy(99)}, at: 99.5,
			want: drain.Step{Watch: true, TellDraining: yes, WaitingFor: "Requests", Message: "3 in flight, 0 long-lived", After: 500 * time.Millisecond},
		},
		"nothing runs": {
			s: drain.Situation{Pod: stopped(out()).Pod, Policy: policyWeb()}, at: 12,
			want: drain.Step{
				Release:    releaseFor(drain.EndNothing),
				Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "Drained", "no container runs any more", 12, 12)},
				WaitingFor: "Eviction", Message: "no container runs any more", After: time.Second,
			},
		},

		// 6: in rotation.
		"taken out": {s: drain.Situation{Pod: inRotation("a").deleted().Pod, Policy: policyWeb()}, at: 1, want: leaves(1)},
		"taken out a second time": {
			s:  drain.Situation{Pod: inRotation("a").deleted().held("NotHeld", "", -50).Pod, Policy: policyWeb()},
			at: 1, want: func() drain.Step {
				s := leaves(1)
				s.Conditions[1].LastTransitionTime = stamp(-50)
				return s
			}(),
		},
		"taken out: its owner has too many": {
			s: drain.Situation{
				Pod: byReplicaSet(inRotation("a")).Pod, Policy: policyWeb(), Owner: scaledDown,
				Neighbours: pods(byReplicaSet(inRotation("a"))),
			},
			at: 1, want: leaves(1),
		},
		"waits for the budget": {
			s: drain.Situation{Pod: inRotation("a").deleted().Pod, Policy: policyWeb(), Budgets: []*policyv1.PodDisruptionBudget{budget(1, 0)}}, at: 1,
			want: drain.Step{
				Conditions: []corev1.PodCondition{drainedFor("Budget", "PodDisruptionBudget web allows no disruption", 1, 1)},
				Began:      true, WaitingFor: "Budget", Message: "PodDisruptionBudget web allows no disruption", After: time.Second,
			},
		},
		"waits on for the budget": {
			s: drain.Situation{
				Pod:    inRotation("a").deleted().held("Budget", "PodDisruptionBudget web allows no disruption", 1).Pod,
				Policy: policyWeb(), Budgets: []*policyv1.PodDisruptionBudget{budget(1, 0)},
			},
			at:   2,
			want: drain.Step{WaitingFor: "Budget", Message: "PodDisruptionBudget web allows no disruption", After: time.Second},
		},
		"the budget allows": {
			s: drain.Situation{
				Pod:    inRotation("a").deleted().held("Budget", "PodDisruptionBudget web allows no disruption", 1).Pod,
				Policy: policyWeb(), Budgets: []*policyv1.PodDisruptionBudget{budget(1, 1)}, Neighbours: pods(inRotation("a"), inRotation("b")),
			},
			at: 2,
			want: func() drain.Step {
				s := leaves(2)
				s.Began, s.Conditions[1].LastTransitionTime = false, stamp(1)
				return s
			}(),
		},
		"just taken out, and the cache does not show it yet": {
			s:  drain.Situation{Pod: inRotation("a").deleted().Pod, Policy: policyWeb(), Leaving: map[types.UID]bool{"uid-a": true}},
			at: 2, want: drain.Step{TellDraining: yes, After: time.Second},
		},

		// 7: out of rotation.
		"the kubelet has not said so":        {s: drain.Situation{Pod: out().ready(corev1.ConditionTrue, -9).Pod, Policy: policyWeb(), Watched: looks(9, 10, 12)}, at: 13, want: rotation(13 * time.Second)},
		"the kubelet is dead":                {s: drain.Situation{Pod: out().ready(corev1.ConditionTrue, -9).Pod, Policy: policyWeb(), Watched: looks(2, 26, 26)}, at: 26, want: since(drained, 26)},
		"the kubelet was late":               {s: drain.Situation{Pod: out().ready(corev1.ConditionFalse, 24).Pod, Policy: policyWeb(), Watched: looks(9, 10, 26)}, at: 26, want: rotation(4 * time.Second)},
		"the kubelet's clock is ahead":       {s: drain.Situation{Pod: out().ready(corev1.ConditionFalse, 3600).Pod, Policy: policyWeb(), Watched: looks(2, 26, 26)}, at: 26, want: since(drained, 26)},
		"it was not Ready before":            {s: drain.Situation{Pod: out().ready(corev1.ConditionFalse, -9).Pod, Policy: policyWeb(), Watched: looks(9, 10, 12)}, at: 15, want: rotation(time.Second)},
		"propagation, drained all the while": {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: looks(9, 10, 16)}, at: 16, want: rotation(time.Second)},
		"propagation that is asked for":      {s: drain.Situation{Pod: out().Pod, Policy: patient, Watched: looks(9, 10, 16)}, at: 16, want: rotation(16 * time.Second)},
		"propagation by default":             {s: drain.Situation{Pod: out().Pod, Policy: default5, Watched: looks(9, 10, 16)}, at: 16, want: rotation(time.Second)},
		"not looked at yet":                  {s: drain.Situation{Pod: out().Pod, Policy: policyWeb()}, at: 17, want: requests("its drain status has not been read yet", 17, 83*time.Second)},
		"requests in flight":                 {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: busy(19)}, at: 20, want: requests("3 in flight, 0 long-lived", 20, 80*time.Second)},
		"drained, one look":                  {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: looks(1, 19, 19)}, at: 20, want: requests("nothing is in flight: it is looked once more", 20, 80*time.Second)},
		"drained, the first look begun while it was seen": {
			s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: looks(9, 16.9, 19)}, at: 20,
			want: requests("nothing is in flight: it is looked once more", 20, 80*time.Second),
		},
		"drained, two looks":                        {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: looks(2, 17, 18)}, at: 20, want: drained},
		"fewer in flight, said a moment ago":        {s: drain.Situation{Pod: requestsOf("5 in flight, 0 long-lived", 19).Pod, Policy: policyWeb(), Watched: busy(19)}, at: 20, want: quiet(requests("3 in flight, 0 long-lived", 20, 29*time.Second))},
		"fewer in flight, said a while ago":         {s: drain.Situation{Pod: requestsOf("5 in flight, 0 long-lived", 18).Pod, Policy: policyWeb(), Watched: busy(47)}, at: 48, want: since(requests("3 in flight, 0 long-lived", 48, 52*time.Second), 18)},
		"as many in flight":                         {s: drain.Situation{Pod: requestsOf("3 in flight, 0 long-lived", 18).Pod, Policy: policyWeb(), Watched: busy(47)}, at: 48, want: quiet(requests("3 in flight, 0 long-lived", 48, 52*time.Second))},
		"unreadable twice":                          {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: failures(2, 19)}, at: 20, want: requests("its drain status could not be read: no answer", 20, 80*time.Second)},
		"unreadable three times, while it was seen": {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: failures(3, 15)}, at: 16, want: rotation(time.Second)},
		"unreadable three times, some time ago":     {s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: failures(3, 17)}, at: 22, want: requests("its drain status could not be read: no answer", 22, time.Second)},
		"unreadable three times, the policy says Hold": {
			s: drain.Situation{Pod: out().Pod, Policy: holds, Watched: failures(3, 19)}, at: 20,
			want: drain.Step{
				Conditions: []corev1.PodCondition{drainedFor("Status", "its drain status cannot be read: no answer", 10, 20)},
				Watch:      true, TellDraining: yes, WaitingFor: "Status", Message: "its drain status cannot be read: no answer", After: 80 * time.Second,
			},
		},
		"unreadable three times": {
			s: drain.Situation{Pod: out().Pod, Policy: policyWeb(), Watched: failures(3, 19)}, at: 20,
			want: drain.Step{
				Release:    releaseFor(drain.EndStatus),
				Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionUnknown, "StatusUnreadable", "its drain status cannot be read: no answer", 20, 20)},
				Watch:      true, TellDraining: yes, WaitingFor: "Eviction", Message: "its drain status cannot be read: no answer", After: time.Second,
			},
		},

		// 8: an eviction that is refused.
		"an eviction": {
			s: drain.Situation{Pod: evicted(out()).Pod, Policy: policyWeb(), Watched: looks(2, 18, 19)}, at: 20,
			want: releasedAs(drained, &drain.Release{Kind: drain.Evict, Why: drain.EndDrained}),
		},
		"an eviction with a grace": {
			s: drain.Situation{Pod: withGrace.out(10).held("Rotation", rotationMessage, 10).Pod, Policy: policyWeb(), Watched: looks(2, 18, 19)}, at: 20,
			want: releasedAs(drained, &drain.Release{Kind: drain.Evict, Why: drain.EndDrained, GraceSeconds: ptr.To[int64](7)}),
		},
		"an eviction that is refused": {
			s: drain.Situation{Pod: evicted(out()).Pod, Policy: policyWeb(), Watched: looks(2, 18, 19), Refused: "the budget"}, at: 20,
			want: drain.Step{
				Release:    &drain.Release{Kind: drain.Evict, Why: drain.EndDrained},
				Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "Drained", "drained; its end is refused: the budget", 20, 20)},
				Watch:      true, TellDraining: yes, WaitingFor: "Eviction", Message: "drained; its end is refused: the budget", After: time.Second,
			},
		},
		"an eviction that was refused before": {
			s: drain.Situation{
				Pod:    evicted(out()).set(drainedAs(corev1.ConditionTrue, "Drained", "drained; its end is refused: the budget", 20)).Pod,
				Policy: policyWeb(), Watched: looks(2, 18, 19), Refused: "the budget",
			},
			at: 21,
			want: drain.Step{
				Release: &drain.Release{Kind: drain.Evict, Why: drain.EndDrained},
				Watch:   true, TellDraining: yes, WaitingFor: "Eviction", Message: "drained; its end is refused: the budget", After: time.Second,
			},
		},
		"an eviction that is refused since nobody is healthy, which nobody has to be": {
			s: drain.Situation{
				Pod: evicted(out()).Pod, Policy: policyWeb(), Watched: looks(2, 18, 19), Refused: "the budget", ByBudget: true,
				Budgets: []*policyv1.PodDisruptionBudget{budget(0, 0)},
			},
			at: 20,
			want: drain.Step{
				Release:    releaseFor(drain.EndDrained),
				Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "Drained", "drained; its end is refused: the budget", 20, 20)},
				Watch:      true, TellDraining: yes, WaitingFor: "Eviction", Message: "drained; its end is refused: the budget", After: time.Second,
			},
		},
		"an eviction that somebody else refuses, and nobody has to be healthy": {
			s: drain.Situation{
				Pod: evicted(out()).Pod, Policy: policyWeb(), Watched: looks(2, 18, 19), Refused: "an admission policy",
				Budgets: []*policyv1.PodDisruptionBudget{budget(0, 0)},
			},
			at: 20,
			want: drain.Step{
				Release:    &drain.Release{Kind: drain.Evict, Why: drain.EndDrained},
				Conditions: []corev1.PodCondition{now(v1alpha1.PodDrained, corev1.ConditionTrue, "Drained", "drained; its end is refused: an admission policy", 20, 20)},
				Watch:      true, TellDraining: yes, WaitingFor: "Eviction", Message: "drained; its end is refused: an admission policy", After: time.Second,
			},
		},
		"an eviction that is refused for 10 s, since too few are healthy": {
			s: drain.Situation{
				Pod: evicted(out()).set(drainedAs(corev1.ConditionTrue, "Drained", drainedMessage, 20)).
					set(corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}).Pod,
				Policy: policyWeb(), Watched: looks(9, 18, 29), Refused: "the budget", Budgets: []*policyv1.PodDisruptionBudget{budget(1, 0)},
			},
			at: 30,
			want: drain.Step{
				Conditions:   []corev1.PodCondition{in(30), drainedFor("Budget", "PodDisruptionBudget web wants 1 healthy pods: 0 are", 30, 30)},
				TellDraining: no, WaitingFor: "Budget", Message: "PodDisruptionBudget web wants 1 healthy pods: 0 are", After: time.Second,
			},
		},
		"an eviction that is refused for 9 s, since too few are healthy": {
			s: drain.Situation{
				Pod:    evicted(out()).set(drainedAs(corev1.ConditionTrue, "Drained", "drained; its end is refused: the budget", 20)).Pod,
				Policy: policyWeb(), Watched: looks(9, 18, 28), Refused: "the budget", Budgets: []*policyv1.PodDisruptionBudget{budget(1, 0)},
			},
			at: 29,
			want: drain.Step{
				Release: &drain.Release{Kind: drain.Evict, Why: drain.EndDrained},
				Watch:   true, TellDraining: yes, WaitingFor: "Eviction", Message: "drained; its end is refused: the budget", After: time.Second,
			},
		},
		"an eviction that is refused past the bound": {
			s: drain.Situation{Pod: evicted(out()).Pod, Policy: policyWeb(), Refused: "the budget"}, at: 100,
			want: drain.Step{
				Release: &drain.Release{Kind: drain.Evict, Why: drain.EndBound},
				Conditions: []corev1.PodCondition{in(100), now(v1alpha1.PodDrained, corev1.ConditionTrue, "BoundReached",
					"held as long as the policy allows; its end is refused: the budget", 100, 100)},
				TellDraining: no, WaitingFor: "Eviction", Message: "held as long as the policy allows; its end is refused: the budget", After: time.Second,
			},
		},
		"an eviction that no budget can ever allow": {
			s: drain.Situation{
				Pod: evicted(inRotation("a")).Pod, Policy: policyWeb(), Neighbours: pods(inRotation("a")),
				Budgets: []*policyv1.PodDisruptionBudget{budget(0, 1), budget(0, 1)},
			},
			at: 20,
			want: drain.Step{
				Conditions: []corev1.PodCondition{drainedFor("Budget", "it has more than one PodDisruptionBudget: it cannot be evicted", 20, 20)},
				Began:      true, WaitingFor: "Budget", Message: "it has more than one PodDisruptionBudget: it cannot be evicted", After: time.Second,
			},
		},
		"drained, refused, and busy again": {
			s: drain.Situation{
				Pod:    evicted(out()).set(drainedAs(corev1.ConditionTrue, "Drained", drainedMessage, 20)).Pod,
				Policy: policyWeb(), Watched: busy(29), Refused: "the budget",
			},
			at: 30, want: since(requests("3 in flight, 0 long-lived", 30, 70*time.Second), 30),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, drain.Next(tc.s, moment(tc.at))); diff != "" {
				t.Errorf("step (-want +got):\n%s", diff)
			}
		})
	}
}

// since is a step whose condition has that status since another time.
func since(s drain.Step, at float64) drain.Step {
	c := s.Conditions[0]
	if c.Status == corev1.ConditionTrue {
		c.LastProbeTime = stamp(at)
	}
	c.LastTransitionTime = stamp(at)
	s.Conditions = []corev1.PodCondition{c}
	return s
}

// quiet is a step that writes nothing.
func quiet(s drain.Step) drain.Step {
	s.Conditions = nil
	return s
}

// watched is a step with looks.
func watched(s drain.Step) drain.Step {
	s.Watch = true
	return s
}

func releasedAs(s drain.Step, r *drain.Release) drain.Step {
	s.Release = r
	return s
}
