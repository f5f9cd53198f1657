package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

func memorised(name, uid, version string, conditions ...corev1.PodCondition) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(uid), ResourceVersion: version},
		Status:     corev1.PodStatus{Conditions: conditions},
	}
}

func TestMemoryOfWhatTheCacheDoesNotShowYet(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var m holdMemory
	pod := memorised("web-1", "1", "10")

	if wait := m.stale(pod, now); wait != 0 {
		t.Errorf("nothing was written, and it waits for %v", wait)
	}
	m.wrote(pod, now)
	if wait := m.stale(pod, now.Add(time.Second)); wait != staleFor-time.Second {
		t.Errorf("waits for %v for what was written a second ago", wait)
	}
	if wait := m.stale(memorised("web-1", "1", "11"), now); wait != 0 {
		t.Errorf("a newer version is stale for %v", wait)
	}
	if wait := m.stale(pod, now.Add(staleFor)); wait != 0 {
		t.Errorf("waits for %v although the cache should have it by now", wait)
	}
}

func TestMemoryOfWhoLeaves(t *testing.T) {
	var m holdMemory
	out := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse}
	one, two := memorised("web-1", "1", "10"), memorised("web-2", "2", "10")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m.leaves(one, now)
	m.leaves(two, now)
	m.failed(two)
	if diff := cmp.Diff(map[types.UID]bool{"1": true, "2": true}, m.leaving([]*corev1.Pod{one, two}, "1", now)); diff != "" {
		t.Errorf("leaving, in the eyes of the first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[types.UID]bool{"1": true}, m.leaving([]*corev1.Pod{one, two}, "2", now)); diff != "" {
		t.Errorf("leaving, in the eyes of the one that has to try again (-want +got):\n%s", diff)
	}
	shown := []*corev1.Pod{memorised("web-1", "1", "11", out), two}
	if diff := cmp.Diff(map[types.UID]bool{"2": true}, m.leaving(shown, "1", now)); diff != "" {
		t.Errorf("leaving, once the cache shows the first (-want +got):\n%s", diff)
	}
	if got := m.leaving([]*corev1.Pod{one, two}, "1", now.Add(leavingFor)); len(got) != 0 {
		t.Errorf("leaving %v, and the cache has not shown it for long", got)
	}
}

func TestAHoldBeginsOnceAndEndsOnce(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	key := types.NamespacedName{Namespace: "shop", Name: "web-1"}
	var m holdMemory
	pod := memorised("web-1", "1", "10")
	if !m.began(pod, nil, since) || m.began(pod, nil, since) {
		t.Error("the beginning is news exactly once")
	}
	if others := m.others(key, "1"); len(others) != 0 {
		t.Errorf("the pod itself is forgotten: %v", others)
	}
	if others := m.others(key, "2"); len(others) != 1 || others[0].since != since {
		t.Errorf("another pod has its name: %v is told to have gone", others)
	}
	if others := m.others(key, ""); len(others) != 0 {
		t.Errorf("told twice: %v", others)
	}
	m.began(pod, nil, since)
	m.ended(pod)
	if others := m.others(key, ""); len(others) != 1 || !others[0].since.IsZero() {
		t.Errorf("its end was told, and is to be told again: %v", others)
	}
}

func TestFleetingAsksAgainWhenItIsOld(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	f := newFleeting[string, int](clock, time.Second)
	asked := 0
	ask := func() (int, error) { asked++; return asked, nil }
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {900 * time.Millisecond, 1}, {100 * time.Millisecond, 2}} {
		clock.SetTime(clock.Now().Add(step.after))
		if got, err := f.get("a", ask); err != nil || got != step.want {
			t.Errorf("got %d, %v, want %d", got, err, step.want)
		}
	}
	clock.SetTime(clock.Now().Add(time.Second))
	failure := errors.New("no")
	if _, err := f.get("a", func() (int, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Errorf("error %v", err)
	}
	if got, _ := f.get("a", ask); got != 3 {
		t.Errorf("got %d: a failure is not kept", got)
	}
}

// ears hear what a teller says, once they are asked to.
type ears struct {
	mu      sync.Mutex
	heard   []bool
	failing bool
	arrived chan struct{}
	answer  chan struct{}
}

func (e *ears) hear(_ context.Context, _ *corev1.Pod, _ *v1alpha1.DrainPolicy, draining bool) error {
	e.arrived <- struct{}{}
	<-e.answer
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, draining)
	if e.failing {
		return errors.New("nobody listens")
	}
	return nil
}

func TestTheLastWordIsHeard(t *testing.T) {
	e := &ears{arrived: make(chan struct{}), answer: make(chan struct{})}
	clock := testclock.NewFakePassiveClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	told := newTeller(t.Context(), clock, e.hear)
	policy := &v1alpha1.DrainPolicy{Spec: v1alpha1.DrainPolicySpec{PreStop: v1alpha1.PreStop{Notify: &v1alpha1.Notify{}}}}
	pod := memorised("web-1", "1", "10")
	next := func() { <-e.arrived; e.answer <- struct{}{} }
	idle := func() {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			told.mu.Lock()
			busy := len(told.next)
			told.mu.Unlock()
			if busy == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("it goes on telling")
			}
		}
	}

	told.Tell(pod, policy, true)
	<-e.arrived // on its way, while its mind changes twice
	told.Tell(pod, policy, false)
	told.Tell(pod, policy, true)
	told.Tell(pod, policy, false)
	e.answer <- struct{}{}
	next()
	idle()
	told.Tell(pod, policy, false) // heard a moment ago
	told.Tell(pod, &v1alpha1.DrainPolicy{}, true)
	idle()
	clock.SetTime(clock.Now().Add(tellAgain))
	told.Tell(pod, policy, false)
	next()
	idle()
	e.failing = true
	told.Tell(pod, policy, true)
	next()
	idle()
	told.Tell(pod, policy, true) // was not heard
	next()
	idle()
	if diff := cmp.Diff([]bool{true, false, false, true, true}, e.heard); diff != "" {
		t.Errorf("heard (-want +got):\n%s", diff)
	}
}
