package store

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

// theirs is the time on the clock of whoever renews, which is off by half an hour.
var ours, theirs = time.Unix(1_000_000, 0), time.Unix(1_000_000, 0).Add(-30 * time.Minute)

func leaderLease(holder string, renewed time.Time) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: LeaderLease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), RenewTime: ptr.To(metav1.NewMicroTime(renewed)), LeaseDurationSeconds: ptr.To[int32](15)},
	}
}

func releasingLease(renewed time.Time, seconds *int32) *coordinationv1.Lease {
	lease := leaderLease("", renewed)
	lease.Name, lease.Spec.LeaseDurationSeconds = ReleasingLease, seconds
	return lease
}

func inNamespaceOf(namespace string, lease *coordinationv1.Lease) *coordinationv1.Lease {
	lease.Namespace = namespace
	return lease
}

// happening is what the informer tells, some time after what it told before.
type happening struct {
	after time.Duration
	saw   any
	gone  any
}

func TestLeases(t *testing.T) {
	for name, tc := range map[string]struct {
		happens          []happening
		assume           bool
		alive, releasing []time.Duration // after the last happening: still
		dead, holding    []time.Duration // and no longer
	}{
		"nothing is seen": {dead: []time.Duration{0, time.Hour}, holding: []time.Duration{0}},
		"a leader is seen for the first time": {
			happens: []happening{{saw: leaderLease("a", theirs)}},
			alive:   []time.Duration{0, 14 * time.Second}, dead: []time.Duration{15 * time.Second, time.Hour}, holding: []time.Duration{0},
		},
		"its clock is ahead": {
			happens: []happening{{saw: leaderLease("a", ours.Add(time.Hour))}, {after: 14 * time.Second, saw: leaderLease("a", ours.Add(time.Hour+time.Second))}},
			alive:   []time.Duration{14 * time.Second}, dead: []time.Duration{15 * time.Second},
		},
		"it renews": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {after: 10 * time.Second, saw: leaderLease("a", theirs.Add(2*time.Second))}},
			alive:   []time.Duration{14 * time.Second}, dead: []time.Duration{15 * time.Second},
		},
		"the same is told again": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {after: 10 * time.Second, saw: leaderLease("a", theirs)}},
			alive:   []time.Duration{4 * time.Second}, dead: []time.Duration{5 * time.Second},
		},
		"it dies, and another one comes": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {after: time.Minute, saw: leaderLease("b", theirs.Add(time.Minute))}},
			alive:   []time.Duration{0}, dead: []time.Duration{15 * time.Second},
		},
		"it gives its lease up, and nobody comes": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {after: 5 * time.Second, saw: leaderLease("", theirs.Add(5*time.Second))}},
			alive:   []time.Duration{9 * time.Second}, dead: []time.Duration{10 * time.Second},
		},
		"there was none when we came": {
			happens: []happening{{saw: leaderLease("", theirs)}}, dead: []time.Duration{0},
		},
		"its lease is removed": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {gone: toolscache.DeletedFinalStateUnknown{Obj: leaderLease("a", theirs)}}},
			alive:   []time.Duration{14 * time.Second}, dead: []time.Duration{15 * time.Second},
		},
		"it is made anew with the same time": {
			happens: []happening{{saw: leaderLease("a", theirs)}, {gone: leaderLease("a", theirs)}, {after: time.Minute, saw: leaderLease("a", theirs)}},
			alive:   []time.Duration{14 * time.Second}, dead: []time.Duration{15 * time.Second},
		},
		"leases of others": {
			happens: []happening{{saw: inNamespaceOf("other", leaderLease("a", theirs))}, {saw: inNamespaceOf("other", releasingLease(theirs, nil))}, {saw: "noise"}},
			dead:    []time.Duration{0}, holding: []time.Duration{0},
		},
		"there is no election": {
			assume: true, alive: []time.Duration{0, time.Hour},
		},
		"an uninstall begins": {
			happens:   []happening{{saw: leaderLease("a", theirs)}, {saw: releasingLease(theirs, ptr.To[int32](60))}},
			alive:     []time.Duration{0},
			releasing: []time.Duration{0, 59 * time.Second}, holding: []time.Duration{60 * time.Second},
		},
		"and goes on": {
			happens:   []happening{{saw: releasingLease(theirs, ptr.To[int32](60))}, {after: 50 * time.Second, saw: releasingLease(theirs.Add(20*time.Second), ptr.To[int32](60))}},
			releasing: []time.Duration{59 * time.Second}, holding: []time.Duration{60 * time.Second},
		},
		"without a duration": {
			happens:   []happening{{saw: releasingLease(theirs, nil)}},
			releasing: []time.Duration{59 * time.Second}, holding: []time.Duration{60 * time.Second},
		},
		"its lease is removed, so that it is over": {
			happens: []happening{{saw: releasingLease(theirs, nil)}, {gone: releasingLease(theirs, nil)}}, holding: []time.Duration{0},
		},
		"the lease of one of another day": {
			happens: []happening{{saw: releasingLease(ours.Add(-2*time.Hour), nil)}}, holding: []time.Duration{0},
		},
		"which is then renewed, by a clock that is far off": {
			happens:   []happening{{saw: releasingLease(ours.Add(-2*time.Hour), nil)}, {after: time.Second, saw: releasingLease(ours.Add(-2*time.Hour+time.Second), nil)}},
			releasing: []time.Duration{59 * time.Second}, holding: []time.Duration{60 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakePassiveClock(ours)
			leases := &Leases{namespace: "system", clock: clock}
			if tc.assume {
				leases.AssumeAlive()
			}
			now := ours
			for _, h := range tc.happens {
				now = now.Add(h.after)
				clock.SetTime(now)
				if h.gone != nil {
					leases.sawGo(h.gone)
				} else {
					leases.saw(h.saw)
				}
			}
			check := func(what string, is func() bool, want bool, when []time.Duration) {
				for _, after := range when {
					clock.SetTime(now.Add(after))
					if got := is(); got != want {
						t.Errorf("%s after %s: got %t, want %t", what, after, got, want)
					}
				}
			}
			check("alive", leases.Alive, true, tc.alive)
			check("alive", leases.Alive, false, tc.dead)
			check("releasing", leases.Releasing, true, tc.releasing)
			check("releasing", leases.Releasing, false, tc.holding)
		})
	}
}
