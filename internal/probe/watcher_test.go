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
	"testing/synctest"
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
	return listenTo(t.Context(), New(o))
}

// next waits for a change, and returns what was seen of the pod by then.
func (a *audience) next(t *testing.T, pod *corev1.Pod) drain.Watched {
	t.Helper()
	select {
	case changed := <-a.changes:
		if changed.Name != pod.Name {
			t.Fatalf("told of %v", changed)
		}
	case <-time.After(20 * time.Second):
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
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{bodies: []string{bodyBusy, bodyBusy, bodyBusy, bodyDrained}}
		n := network{}
		pod := n.pod(t, "10.1.0.1:80", http.HandlerFunc(endpoint.serve))
		a := n.watch(t, Options{})
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
		if first := asked[0].Sub(start); first != 0 {
			t.Errorf("first asked after %v, want at once", first)
		}
		const period = time.Second
		for i, bounds := range [][2]time.Duration{{period / 10, period}, {period, period}, {period, period}, {confirm, confirm}} {
			if gap := asked[i+1].Sub(asked[i]); gap < bounds[0] || gap > bounds[1] {
				t.Errorf("look %d came %v after the one before, want %v to %v", i+2, gap, bounds[0], bounds[1])
			}
		}
		if !last.DrainedSince.Equal(asked[3]) || !last.At.Equal(asked[4]) {
			t.Errorf("drained since %v, at %v; asked %v", last.DrainedSince, last.At, asked)
		}
	})
}

// A look that takes its time does not put the next one off, unless it hung.
func TestPause(t *testing.T) {
	const period = 10 * time.Second
	once, twice := drain.Watched{Drained: 1}, drain.Watched{Drained: 2}
	tests := map[string]struct {
		took, spread time.Duration
		hung         bool
		seen         drain.Watched
		want         time.Duration
	}{
		"a quick look":           {0, 0, false, drain.Watched{}, period},
		"a slow look":            {3 * time.Second, 0, false, drain.Watched{}, 7 * time.Second},
		"slower than its period": {11 * time.Second, 0, false, drain.Watched{}, time.Second},
		"the first, spread":      {time.Second, 4 * time.Second, false, drain.Watched{}, 5 * time.Second},
		"the first, spread far":  {time.Second, 9 * time.Second, false, drain.Watched{}, time.Second},
		"one that hung":          {2 * time.Second, 4 * time.Second, true, drain.Watched{}, period},
		"drained":                {2 * time.Second, 4 * time.Second, false, once, confirm},
		"drained, and confirmed": {time.Second, 0, false, twice, 9 * time.Second},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			taken := look{begun: begun, ended: begun.Add(tc.took), hung: tc.hung}
			if got := pause(target{period: period}, taken, tc.seen, tc.spread); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestWatcherForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{bodies: []string{bodyDrained}}
		n := network{}
		pod := n.pod(t, "10.1.0.1:80", http.HandlerFunc(endpoint.serve))
		a := n.watch(t, Options{})
		a.watcher.Follow(pod, asking(nil))
		a.next(t, pod)
		a.watcher.Forget(pod.UID)
		if diff := cmp.Diff(drain.Watched{}, a.watcher.Seen(pod.UID)); diff != "" {
			t.Errorf("seen of a forgotten pod (-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		if asked := len(endpoint.times()); asked != 1 || len(a.changes) > 0 {
			t.Errorf("it went on: asked %d times, told of %d more changes", asked, len(a.changes))
		}
		a.watcher.Forget(pod.UID)
		a.watcher.Forget("another")
	})
}

func TestWatcherEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		endpoint := &script{bodies: []string{bodyBusy}}
		n := network{}
		pod := n.pod(t, "10.1.0.1:80", http.HandlerFunc(endpoint.serve))
		other := n.pod(t, "10.1.0.2:80", http.HandlerFunc(endpoint.serve))
		ctx, cancel := context.WithCancel(t.Context())
		a := listenTo(ctx, n.prober(Options{}))
		a.watcher.Follow(pod, asking(nil))
		a.next(t, pod)
		cancel()
		a.watcher.Follow(other, asking(nil))
		time.Sleep(time.Hour)
		if asked := len(endpoint.times()); asked != 1 {
			t.Errorf("asked %d times, want no look after the end", asked)
		}
	})
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
// turn there is but once. Times are the clock's of the bubble: exact.
func TestWatcherAmongHungPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hung, healthy, timeout = 500, 10, 2 * time.Second
		n := network{}
		a := n.watch(t, Options{})
		policy := asking(func(s *v1alpha1.HTTPDrainStatus) { s.TimeoutSeconds = int32(timeout.Seconds()) })
		stuck := n.pod(t, "10.1.0.1:80", nil)
		for i := range hung {
			pod := stuck.DeepCopy()
			pod.Name, pod.UID = "hung", types.UID(fmt.Sprint("hung", i))
			a.watcher.Follow(pod, policy)
		}
		synctest.Wait() // all turns are taken
		asked := make([]atomic.Int64, healthy)
		for i := range healthy {
			pod := n.pod(t, fmt.Sprintf("10.2.0.%d:80", i), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked[i].Add(1)
				_, _ = io.WriteString(w, bodyBusy)
			}))
			pod.Name, pod.UID = "healthy", types.UID(fmt.Sprint("healthy", i))
			a.watcher.Follow(pod, policy)
		}
		const turns = (hung + defaultConcurrency - 1) / defaultConcurrency
		time.Sleep(turns * timeout)
		synctest.Wait()
		for i := range healthy {
			if asked[i].Load() == 0 {
				t.Errorf("pod %d was not asked in %d turns of %v", i, turns, timeout)
			}
		}
		for i := range hung {
			if a.watcher.Seen(types.UID(fmt.Sprint("hung", i))).Unreadable == 0 {
				t.Fatalf("pod %d, which hangs, was not asked in %d turns", i, turns)
			}
		}
		time.Sleep(time.Second) // the second look is drawn from the first period
		before := make([]int64, healthy)
		for i := range healthy {
			before[i] = asked[i].Load()
		}
		time.Sleep(time.Minute)
		for i := range healthy {
			if looks := asked[i].Load() - before[i]; looks != 60 {
				t.Errorf("%d looks a minute at pod %d, want 60", looks, i)
			}
		}
	})
}
