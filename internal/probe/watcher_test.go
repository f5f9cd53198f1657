package probe

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// script answers one body after the other, the last one for ever; an empty one
// is a failure.
type script struct {
	mu     sync.Mutex
	bodies []string
	asked  []time.Time
}

func (s *script) serve(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, time.Now())
	body := s.bodies[min(len(s.asked), len(s.bodies))-1]
	if body == "" {
		w.WriteHeader(500)
	}
	_, _ = io.WriteString(w, body)
}

func (s *script) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// audience is told of changes.
type audience struct {
	changes chan types.NamespacedName
	watcher *Watcher
}

func watch(t *testing.T, o Options) *audience {
	t.Helper()
	o.Loopback = true
	a := &audience{changes: make(chan types.NamespacedName, 10_000)}
	a.watcher = NewWatcher(t.Context(), New(o), func(pod types.NamespacedName) { a.changes <- pod })
	return a
}

// next waits for a change, and returns what was seen of the pod by then.
func (a *audience) next(t *testing.T, pod *corev1.Pod) drain.Watched {
	t.Helper()
	select {
	case changed := <-a.changes:
		if changed.Name != pod.Name {
			t.Fatalf("told of %v", changed)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("told of nothing")
	}
	return a.watcher.Seen(pod.UID)
}

// counts of a row, without times.
type counts struct {
	State               drainstatus.State
	Drained, Unreadable int
}

func countsOf(w drain.Watched) counts { return counts{w.Last.State, w.Drained, w.Unreadable} }

func TestWatcherCounts(t *testing.T) {
	f := &follower{}
	at := func(n int) time.Time { return time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC) }
	var told []bool
	var seen []drain.Watched
	readings := []drainstatus.State{"Busy", "Drained", "Drained", "Drained", "Drained", "Unreadable", "Unreadable", "Unreadable", "Unreadable", "Busy", "Busy", "Busy", "Busy", "Drained"}
	for i, state := range readings {
		told = append(told, f.count(look{reading: drainstatus.Reading{State: state}, begun: at(10 * i), ended: at(10*i + 1)}))
		seen = append(seen, f.seen)
	}
	watched := func(i, drained, unreadable, since int) drain.Watched {
		w := drain.Watched{Last: drainstatus.Reading{State: readings[i]}, At: at(10*i + 1), Drained: drained, Unreadable: unreadable}
		if drained > 0 {
			w.DrainedSince = at(10 * since)
		}
		return w
	}
	want := []drain.Watched{
		watched(0, 0, 0, 0), watched(1, 1, 0, 1), watched(2, 2, 0, 1), watched(3, 3, 0, 1), watched(4, 4, 0, 1),
		watched(5, 0, 1, 0), watched(6, 0, 2, 0), watched(7, 0, 3, 0), watched(8, 0, 4, 0),
		watched(9, 0, 0, 0), watched(10, 0, 0, 0), watched(11, 0, 0, 0), watched(12, 0, 0, 0), watched(13, 1, 0, 13),
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	wantTold := []bool{true, true, true, true, true, true, true, true, false, true, true, true, false, true}
	if diff := cmp.Diff(wantTold, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

func TestWatcherLooksInItsPeriod(t *testing.T) {
	endpoint := &script{bodies: []string{bodyBusy, bodyBusy, bodyBusy, bodyDrained}}
	pod := serve(t, endpoint.serve)
	a := watch(t, Options{})
	start := time.Now()
	a.watcher.Follow(pod, asking(nil))
	want := []counts{{"Busy", 0, 0}, {"Busy", 0, 0}, {"Busy", 0, 0}, {"Drained", 1, 0}, {"Drained", 2, 0}}
	var seen []counts
	var last drain.Watched
	for range want {
		last = a.next(t, pod)
		seen = append(seen, countsOf(last))
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	asked := endpoint.times()
	if first := asked[0].Sub(start); first > 200*ms {
		t.Errorf("first asked after %v, want at once", first)
	}
	for i, bounds := range [][2]time.Duration{{50 * ms, 1800 * ms}, {900 * ms, 1800 * ms}, {900 * ms, 1800 * ms}, {confirm - 10*ms, 600 * ms}} {
		if gap := asked[i+1].Sub(asked[i]); gap < bounds[0] || gap > bounds[1] {
			t.Errorf("look %d came %v after the one before, want %v to %v", i+2, gap, bounds[0], bounds[1])
		}
	}
	if last.DrainedSince.Before(asked[2]) || last.DrainedSince.After(asked[3]) || last.At.Before(asked[4]) {
		t.Errorf("drained since %v, at %v; asked %v", last.DrainedSince, last.At, asked)
	}
}

func TestWatcherForgets(t *testing.T) {
	endpoint := &script{bodies: []string{bodyDrained}}
	pod := serve(t, endpoint.serve)
	a := watch(t, Options{})
	a.watcher.Follow(pod, asking(nil))
	a.next(t, pod)
	a.watcher.Forget(pod.UID)
	if diff := cmp.Diff(drain.Watched{}, a.watcher.Seen(pod.UID)); diff != "" {
		t.Errorf("seen of a forgotten pod (-want +got):\n%s", diff)
	}
	for len(a.changes) > 0 {
		<-a.changes
	}
	asked := len(endpoint.times())
	quietFor(t, 3*confirm, func() bool { return len(a.changes) == 0 && len(endpoint.times()) <= asked+1 })
	a.watcher.Forget(pod.UID)
	a.watcher.Forget("another")
}

// quietFor checks again and again that something stays true.
func quietFor(t *testing.T, d time.Duration, still func() bool) {
	t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(10 * ms) {
		if !still() {
			t.Fatal("it went on")
		}
	}
}

func TestWatcherEndsWithItsContext(t *testing.T) {
	endpoint := &script{bodies: []string{bodyBusy}}
	pod := serve(t, endpoint.serve)
	ctx, cancel := context.WithCancel(t.Context())
	looked := make(chan struct{}, 100)
	w := NewWatcher(ctx, New(Options{Loopback: true}), func(types.NamespacedName) { looked <- struct{}{} })
	w.Follow(pod, asking(nil))
	<-looked
	cancel()
	asked := len(endpoint.times())
	quietFor(t, 1200*ms, func() bool { return len(endpoint.times()) == asked })
	w.Follow(serve(t, endpoint.serve), asking(nil))
	quietFor(t, 100*ms, func() bool { return len(endpoint.times()) == asked })
}

func TestWatcherFollowsOn(t *testing.T) {
	tests := map[string]struct {
		edit     func(*corev1.Pod, *v1alpha1.DrainPolicy)
		restarts bool
	}{
		"nothing changed":  {func(*corev1.Pod, *v1alpha1.DrainPolicy) {}, false},
		"another setting":  {func(_ *corev1.Pod, p *v1alpha1.DrainPolicy) { p.Spec.Gate.MaxHoldSeconds = 7; p.Generation++ }, false},
		"the pod's labels": {func(p *corev1.Pod, _ *v1alpha1.DrainPolicy) { p.Labels = map[string]string{"a": "b"} }, false},
		"the path":         {func(_ *corev1.Pod, p *v1alpha1.DrainPolicy) { p.Spec.DrainStatus.HTTP.Path = "/other" }, true},
		"long-lived":       {func(_ *corev1.Pod, p *v1alpha1.DrainPolicy) { p.Spec.LongLived.Policy = "Wait" }, true},
		"the dialect":      {func(_ *corev1.Pod, p *v1alpha1.DrainPolicy) { p.Spec.DrainStatus.HTTP.DrainedWhen = "StatusCode" }, true},
		"the address":      {func(p *corev1.Pod, _ *v1alpha1.DrainPolicy) { p.Status.PodIP = "127.0.0.2" }, true},
		"no address":       {func(p *corev1.Pod, _ *v1alpha1.DrainPolicy) { p.Status.PodIP = "" }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod, policy := serve(t, says(bodyDrained)), asking(func(s *v1alpha1.HTTPDrainStatus) { s.PeriodSeconds = 60 })
			a := watch(t, Options{})
			a.watcher.Follow(pod, policy)
			for a.next(t, pod).Drained < 2 {
			}
			before := a.watcher.Seen(pod.UID)
			tc.edit(pod, policy)
			a.watcher.Follow(pod, policy)
			if !tc.restarts {
				if diff := cmp.Diff(before, a.watcher.Seen(pod.UID), cmpopts.EquateComparable()); diff != "" {
					t.Errorf("seen (-want +got):\n%s", diff)
				}
				return
			}
			// Another row begins, however many looks it has when we get to see it.
			for after := (drain.Watched{}); after.Unreadable == 0 && !after.DrainedSince.After(before.At); {
				after = a.next(t, pod)
			}
		})
	}
}

// What hangs must not keep the others waiting: 500 pods that hang use up every
// turn there is but once.
func TestWatcherAmongHungPods(t *testing.T) {
	const hung, healthy = 500, 10
	stuck := silent(t)
	a := watch(t, Options{})
	policy := asking(func(s *v1alpha1.HTTPDrainStatus) { s.TimeoutSeconds = 2 })
	start := time.Now()
	for i := range hung {
		pod := stuck.DeepCopy()
		pod.Name, pod.UID = "hung", types.UID(fmt.Sprint("hung", i))
		a.watcher.Follow(pod, policy)
	}
	var asked atomic.Int64
	for i := range healthy {
		pod := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			_, _ = io.WriteString(w, bodyBusy)
		})
		pod.Name, pod.UID = "healthy", types.UID(fmt.Sprint("healthy", i))
		a.watcher.Follow(pod, policy)
	}
	firsts := 0
	for firsts < healthy {
		select {
		case pod := <-a.changes:
			if pod.Name == "healthy" {
				firsts++
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d healthy pods were asked in 10 s", firsts, healthy)
		}
	}
	first := time.Since(start)
	if first > 6*time.Second {
		t.Errorf("the first look at all healthy pods took %v", first)
	}
	for i := range hung { // until each was asked once
		for uid := types.UID(fmt.Sprint("hung", i)); a.watcher.Seen(uid).Unreadable == 0; time.Sleep(10 * ms) {
			if t.Context().Err() != nil {
				t.Fatal("not every hung pod was asked")
			}
		}
	}
	before, since := asked.Load(), time.Now()
	time.Sleep(3 * time.Second)
	rate := float64(asked.Load()-before) / healthy / time.Since(since).Seconds()
	t.Logf("first look at %d healthy pods among %d hung ones after %v, then %.2f looks a second at each", healthy, hung, first, rate)
	if rate < 0.8 {
		t.Errorf("%.2f looks a second at a healthy pod, want about one", rate)
	}
}
