package condition

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(now)}
}

func record(uid string, outcome v1alpha1.Outcome, cause v1alpha1.Cause) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{Pod: "pod-" + uid, UID: uid, Outcome: outcome, Cause: cause, DurationSeconds: 7, EndedAt: metav1.NewTime(now)}
}

func worksTrial() Trial {
	return Trial{Result: ResultInjected, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now, Tries: 1}
}

func TestDecideOnTheFirstVisit(t *testing.T) {
	got := Decide(Facts{Policy: testobjects.MakePolicy("web").Obj(), AgentImage: agentImage, Trial: worksTrial(), Now: now})
	want := Decision{
		Status: v1alpha1.DrainPolicyStatus{
			ObservedGeneration: 1,
			AgentImage:         agentImage,
			Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInjectionWorks, "a dry-run pod came back injected"),
				condition(v1alpha1.ConditionPodsInjected, metav1.ConditionTrue, v1alpha1.ReasonNoPods, "no pod is selected"),
				condition(v1alpha1.ConditionConflicting, metav1.ConditionFalse, v1alpha1.ReasonNoConflict, "no other policy wins pods that this one selects"),
				condition(v1alpha1.ConditionAgentInstallable, metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet"),
				condition(v1alpha1.ConditionDrainStatusReachable, metav1.ConditionUnknown, v1alpha1.ReasonNoDrainYet, "no drain has told yet"),
				condition(v1alpha1.ConditionLatencyObserved, metav1.ConditionUnknown, v1alpha1.ReasonNotAskedFor, "spec.gracePeriod.latency names no source: the pod's own grace stands for it"),
				condition(v1alpha1.ConditionGraceWithinCeilings, metav1.ConditionUnknown, v1alpha1.ReasonNoRecommendation, "there is no recommendation yet"),
				condition(v1alpha1.ConditionHoldWithinDeadlines, metav1.ConditionUnknown, v1alpha1.ReasonNotHoldingDeletions, "the policy does not hold deletions"),
				condition(v1alpha1.ConditionServerStopsInTime, metav1.ConditionUnknown, v1alpha1.ReasonNoServerSeen, "no container's command shows a server whose graceful timeout is known"),
				condition(v1alpha1.ConditionFrontsCovered, metav1.ConditionUnknown, v1alpha1.ReasonNotYetChecked, "the Services and Ingresses of the namespace could not be listed yet"),
				condition(v1alpha1.ConditionConnectionsYoungEnough, metav1.ConditionUnknown, v1alpha1.ReasonNoneSeen, "no drain has met a long-lived connection whose age the workload told"),
			},
		},
		Events: []Event{{Type: corev1.EventTypeNormal, Reason: v1alpha1.ReasonInjectionWorks, Action: ActionCheck, Message: "a dry-run pod came back injected"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestDecideTwiceChangesNothing(t *testing.T) {
	f := Facts{
		Policy:     testobjects.MakePolicy("web").Obj(),
		AgentImage: agentImage,
		Trial:      worksTrial(),
		Coverage:   Coverage{Pods: 5, Injected: 2, Outdated: 1, Missing: 2, Skipped: map[string]int32{"OptedOut": 1}, Lost: map[Loss]int32{{"other", policy.WhyOlder}: 2}},
		AgentPods:  []AgentPod{{Name: "stuck", Created: now.Add(-time.Hour), Since: now.Add(-time.Hour), Image: agentImage, Trouble: "ErrImagePull"}},
		Draining:   []v1alpha1.DrainingPod{{Name: "b", UID: "2", Since: metav1.NewTime(now)}, {Name: "a", UID: "1", Since: metav1.NewTime(now)}},
		Ended:      []v1alpha1.DrainRecord{record("x", v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable)},
		Now:        now,
	}
	first := Decide(f)
	f.Policy.Status, f.Ended, f.Now = first.Status, nil, now.Add(time.Minute)
	f.Draining[0], f.Draining[1] = f.Draining[1], f.Draining[0]
	second := Decide(f)
	if diff := cmp.Diff(first.Status, second.Status); diff != "" {
		t.Errorf("nothing happened, and the status changed (-before +after):\n%s", diff)
	}
	if len(second.Events) != 0 {
		t.Errorf("nothing happened, and events are told: %v", second.Events)
	}
}

func TestDrainsAreCountedAndListed(t *testing.T) {
	p := testobjects.MakePolicy("web").Obj()
	p.Status.Drains = v1alpha1.DrainCounts{Drained: 100, Unknown: 1}
	for i := range MaxRecentDrains {
		p.Status.RecentDrains = append(p.Status.RecentDrains, record(fmt.Sprintf("old-%02d", i), v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded))
	}
	ended := []v1alpha1.DrainRecord{
		record("1", v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded),
		record("2", v1alpha1.OutcomeTimedOut, v1alpha1.CauseBoundReached),
		record("3", v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent),
		record("4", v1alpha1.OutcomeSkipped, v1alpha1.CauseReleased),
		record("5", v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable),
	}
	status := Decide(Facts{Policy: p, Trial: worksTrial(), Ended: ended, Now: now}).Status
	if diff := cmp.Diff(v1alpha1.DrainCounts{Drained: 101, TimedOut: 1, Forced: 1, Skipped: 1, Unknown: 2}, status.Drains); diff != "" {
		t.Errorf("counters (-want +got):\n%s", diff)
	}
	var listed []string
	for _, r := range status.RecentDrains[:7] {
		listed = append(listed, r.UID)
	}
	if diff := cmp.Diff([]string{"5", "4", "3", "2", "1", "old-00", "old-01"}, listed); diff != "" || len(status.RecentDrains) != MaxRecentDrains {
		t.Errorf("%d listed (-want +got):\n%s", len(status.RecentDrains), diff)
	}
}

func TestPodsInjected(t *testing.T) {
	enforce, observe := testobjects.MakePolicy("web").Obj(), testobjects.MakePolicy("web").Observe().Obj()
	tests := map[string]struct {
		policy   *v1alpha1.DrainPolicy
		coverage Coverage
		want     metav1.Condition
	}{
		"all": {
			policy: enforce, coverage: Coverage{Pods: 4, Injected: 4},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAllInjected, Message: "4 pods injected"},
		},
		"older": {
			policy: enforce, coverage: Coverage{Pods: 4, Injected: 2, Outdated: 1, Missing: 2},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonOlderPods, Message: "3 older pods: at their next rollout"},
		},
		"one older": {
			policy: enforce, coverage: Coverage{Pods: 1, Missing: 1},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonOlderPods, Message: "1 older pod: at their next rollout"},
		},
		"left alone": {
			policy: enforce, coverage: Coverage{Pods: 4, Injected: 1, Skipped: map[string]int32{"Windows": 1, "OptedOut": 2}},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonPodsSkipped, Message: "1 pod injected, left alone: 2 OptedOut, 1 Windows"},
		},
		"observing": {
			policy: observe, coverage: Coverage{Pods: 5, Injected: 2, Outdated: 2, Missing: 2, Skipped: map[string]int32{"OptedOut": 1}},
			want: metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonObserving, Message: "4 pods would be injected in mode Enforce"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.Type = v1alpha1.ConditionPodsInjected
			if diff := cmp.Diff(tc.want, podsInjected(tc.policy, tc.coverage)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflicting(t *testing.T) {
	for name, tc := range map[string]struct {
		lost map[Loss]int32
		want string
	}{
		"two winners": {
			lost: map[Loss]int32{{"b", policy.WhyNamed}: 1, {"a", policy.WhySpecific}: 3},
			want: "3 a (MoreRequirements), 1 b (NamedByPod)",
		},
		"many": {
			lost: map[Loss]int32{{"a", policy.WhyOlder}: 1, {"b", policy.WhyOlder}: 9, {"c", policy.WhyOlder}: 2, {"d", policy.WhyNamed}: 2, {"e", policy.WhyOlder}: 1},
			want: "9 b (Older), 2 c (Older), 2 d (NamedByPod), and 2 more",
		},
	} {
		want := metav1.Condition{
			Type: v1alpha1.ConditionConflicting, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonOutranked,
			Message: "pods that this policy selects get another one: " + tc.want,
		}
		if diff := cmp.Diff(want, conflicting(Coverage{Lost: tc.lost})); diff != "" {
			t.Errorf("%s: condition (-want +got):\n%s", name, diff)
		}
	}
}

func TestDrainStatusReachable(t *testing.T) {
	read := record("r", v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded)
	failed := record("f", v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable)
	failed.Reason = "connection refused"
	silent := record("s", v1alpha1.OutcomeUnknown, v1alpha1.CauseNoStatus)
	tests := map[string]struct {
		recent []v1alpha1.DrainRecord
		want   metav1.Condition
	}{
		"none":                 {want: metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNoDrainYet, Message: "no drain has told yet"}},
		"none that tells":      {recent: []v1alpha1.DrainRecord{silent}, want: metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNoDrainYet, Message: "no drain has told yet"}},
		"all could":            {recent: []v1alpha1.DrainRecord{read, silent, read}, want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonStatusRead, Message: "the last drains could read it"}},
		"the newest could not": {recent: []v1alpha1.DrainRecord{failed, read}, want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonStatusFailed, Message: "1 of the last 2 drains could not read it, the last for this reason: connection refused"}},
		"the newest could":     {recent: []v1alpha1.DrainRecord{silent, read, failed}, want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonStatusRead, Message: "1 of the last 2 drains could not read it, the last for this reason: connection refused"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.Type = v1alpha1.ConditionDrainStatusReachable
			if diff := cmp.Diff(tc.want, drainStatusReachable(tc.recent)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDrainEvents(t *testing.T) {
	var ended []v1alpha1.DrainRecord
	for i := range 5 {
		r := record(strconv.Itoa(i), v1alpha1.OutcomeTimedOut, v1alpha1.CauseBoundReached)
		r.Reason, r.InFlight = "the bound was reached", int64(i)
		ended = append(ended, r, record("fine", v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded))
	}
	want := []Event{{
		Type: corev1.EventTypeWarning, Reason: "DrainTimedOut", Action: ActionDrain,
		Message: "pod-0 after 7 s: the bound was reached; pod-1 after 7 s: the bound was reached (1 in flight); " +
			"pod-2 after 7 s: the bound was reached (2 in flight); and 2 more",
	}}
	if diff := cmp.Diff(want, drainEvents(ended)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestTransitions(t *testing.T) {
	ready := func(status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: "R", Message: "M"}}
	}
	conflict := func(status metav1.ConditionStatus) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionConflicting, Status: status, Reason: "R", Message: "M"}}
	}
	normal, warning := []Event{{corev1.EventTypeNormal, "R", ActionCheck, "M"}}, []Event{{corev1.EventTypeWarning, "R", ActionCheck, "M"}}
	tests := map[string]struct {
		before, after []metav1.Condition
		want          []Event
	}{
		"ready at first":          {after: ready(metav1.ConditionTrue), want: normal},
		"not ready at first":      {after: ready(metav1.ConditionFalse), want: warning},
		"unknown":                 {before: ready(metav1.ConditionTrue), after: ready(metav1.ConditionUnknown)},
		"stays ready":             {before: ready(metav1.ConditionTrue), after: ready(metav1.ConditionTrue)},
		"no conflict at first":    {after: conflict(metav1.ConditionFalse)},
		"conflict":                {before: conflict(metav1.ConditionFalse), after: conflict(metav1.ConditionTrue), want: warning},
		"conflict is over":        {before: conflict(metav1.ConditionTrue), after: conflict(metav1.ConditionFalse), want: normal},
		"a rollout tells nothing": {after: []metav1.Condition{{Type: v1alpha1.ConditionPodsInjected, Status: metav1.ConditionFalse}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, transitions(tc.before, tc.after)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
