package controllers

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Where a watch had to start over, an informer shows another object of the same
// name as an update of the one whose deletion it missed.
func TestAnotherPodOfTheSameName(t *testing.T) {
	s := newStandby()
	s.SawPolicy(s.current())
	watched := s.podHandler()
	watched.OnAdd(dying(1), false)
	another := pod(1)
	another.UID = "uid-new"
	watched.OnUpdate(dying(1), another)

	got := s.Of(s.current())
	var ended []v1alpha1.DrainRecord
	for _, r := range got.Pending {
		ended = append(ended, v1alpha1.DrainRecord{Pod: r.Pod, UID: r.UID, Outcome: r.Outcome, Cause: r.Cause})
	}
	want := []v1alpha1.DrainRecord{{Pod: "web-001", UID: "uid-001", Outcome: v1alpha1.OutcomeUnknown, Cause: v1alpha1.CauseEndNotObserved}}
	if diff := cmp.Diff(want, ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if len(got.Draining) > 0 {
		t.Errorf("still draining: %v", got.Draining)
	}
	if diff := cmp.Diff(map[types.UID]bool{"uid-new": true}, s.existing); diff != "" {
		t.Errorf("existing pods (-want +got):\n%s", diff)
	}
}

func TestAnotherPolicyOfTheSameName(t *testing.T) {
	s := newStandby()
	var forgotten []types.UID
	watched := s.policyHandler(func(p *v1alpha1.DrainPolicy) { forgotten = append(forgotten, p.UID) })
	before := s.current()
	watched.OnAdd(before, false)
	s.SawPodGo(dead(1), false)
	s.version++
	watched.OnUpdate(before, s.current()) // the same one
	if diff := cmp.Diff([]string{"uid-001"}, s.pendingPods()); diff != "" {
		t.Errorf("pending, once it was edited (-want +got):\n%s", diff)
	}
	s.version++
	another := s.current()
	another.UID = "policy-new"
	watched.OnUpdate(before, another)
	if got := s.Of(another); !got.Current || len(got.Pending) > 0 {
		t.Errorf("of the other one: %+v", got)
	}
	if diff := cmp.Diff([]types.UID{before.UID}, forgotten); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
}

func TestEditsAndOtherPoliciesOfTheSameNameAreVisited(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*v1alpha1.DrainPolicy)
		want bool
	}{
		"its status":     {edit: func(p *v1alpha1.DrainPolicy) { p.ResourceVersion = "2" }},
		"its spec":       {edit: func(p *v1alpha1.DrainPolicy) { p.Generation++ }, want: true},
		"another policy": {edit: func(p *v1alpha1.DrainPolicy) { p.UID = "policy-new" }, want: true},
	} {
		before, after := webPolicy(), webPolicy()
		tc.edit(after)
		if got := edited().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
