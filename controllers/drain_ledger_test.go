package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// others are published by the leader, one a minute: none of them is seen here.
func (s *standby) others(from, to int) {
	for i := from; i < to; i++ {
		s.clock.SetTime(s.clock.Now().Add(time.Minute))
		s.publish(true, i)
	}
}

// What was published is not published again, however late its end comes here.
func TestLateEndsAreNotCountedTwice(t *testing.T) {
	tests := map[string]func(s *standby){
		"a pod that exists here for long": func(s *standby) {
			s.SawPod(dying(1))
			s.publish(true, 1) // another leader took it for gone
			s.others(100, 5_000)
			s.SawPodGo(dead(1), false)
		},
		"the same, and then its deletion is listed": func(s *standby) {
			s.SawPod(dying(1))
			s.publish(true, 1)
			s.others(100, 200)
			s.SawPodGo(dead(1), false)
			s.SawPodGo(dead(1), true)
			s.others(200, 300)
		},
		"a pod of which nothing was seen yet": func(s *standby) {
			s.publish(true, 1)
			for i := range 100 { // its list is long past it
				s.publish(true, 100+i)
			}
			s.clock.SetTime(start.Add(lateFor - time.Second))
			s.publish(true, 2)
			s.SawPod(dying(1))
			s.SawPodGo(dead(1), false)
		},
		"the list of pods comes late": func(s *standby) {
			s.onSync(func() bool { return false })
			s.publish(true, 1)
			s.others(100, 200)
			s.SawPod(dying(1))
			s.onSync(func() bool { return true })
			s.others(200, 300)
			s.SawPodGo(dead(1), false)
		},
		"gone, and the status still lists it as draining": func(s *standby) {
			s.SawPod(dying(1))
			s.publish(true, 1)
			s.status.DrainingPods = []v1alpha1.DrainingPod{{Name: "web-001", UID: "uid-001"}}
			s.others(100, 200)
			s.SawPodGo(dead(1), false)
			s.others(200, 300)
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStandby()
			s.SawPolicy(s.current())
			do(s)
			if diff := cmp.Diff([]string(nil), s.pendingPods()); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}
		})
	}
}

// A policy whose pods are replaced every day for a year.
func TestWhatIsRememberedDoesNotGrowWithTime(t *testing.T) {
	const pods = 20
	s := newStandby()
	s.SawPolicy(s.current())
	for day := range 365 {
		s.clock.SetTime(start.Add(time.Duration(day) * 24 * time.Hour))
		for i := range pods {
			n := day*pods + i
			s.SawPod(pod(n))
			s.SawPod(dying(n))
			s.SawPodGo(dead(n), false)
			s.publish(true, n)
		}
		kept := len(s.ledgers[keyOf(s.current())].published)
		if kept > pods+len(s.status.RecentDrains) || len(s.existing)+len(s.live)+s.waiting > 0 {
			t.Fatalf("day %d: %d published drains are remembered, %d pods, %d live drains, %d pending ones",
				day, kept, len(s.existing), len(s.live), s.waiting)
		}
	}
}

// Whoever takes the label off a pod does not take away its end.
func TestAPodThatNoLongerLooksInjected(t *testing.T) {
	s := newStandby()
	s.SawPolicy(s.current())
	s.SawPod(dying(1)) // drains
	s.SawPod(pod(2))
	for _, i := range []int{1, 2} {
		gone := dead(i)
		delete(gone.Labels, v1alpha1.LabelInjected)
		s.SawPod(gone)
		s.SawPodGo(gone, false)
	}
	if diff := cmp.Diff([]string{"uid-001"}, s.pendingPods()); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if len(s.existing) > 0 || len(s.live) > 0 {
		t.Errorf("still existing: %v, live: %v", s.existing, s.live)
	}
}
