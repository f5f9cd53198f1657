package probe

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	// confirm is the time from the first look that shows a pod drained to the
	// second, since a pod's end hangs on it: not another period, as between
	// all others.
	confirm = 100 * time.Millisecond

	// firsts is how many looks in a row that show the same may matter.
	firsts = 3
)

// Watcher looks at pods again and again, each in its policy's period.
type Watcher struct {
	ctx     context.Context // of the looks, whoever began them
	prober  *Prober
	changed func(types.NamespacedName)

	mu       sync.Mutex
	followed map[types.UID]*follower
}

// NewWatcher returns a Watcher that lives as long as ctx. changed is called
// without locks after each look that may change what becomes of the pod:
// another state than before, one more of the first three in a row, or drained.
func NewWatcher(ctx context.Context, p *Prober, changed func(types.NamespacedName)) *Watcher {
	return &Watcher{ctx: ctx, prober: p, changed: changed, followed: map[types.UID]*follower{}}
}

// follower looks at one pod.
type follower struct {
	pod    types.NamespacedName
	uid    types.UID
	target target
	stop   context.CancelFunc
	seen   drain.Watched
	// row counts the last looks that showed the same state.
	row int
}

// Follow begins to look at a pod, or goes on with the policy as it is now.
// Where the pod is to be asked in another way than before, what was seen is
// forgotten.
func (w *Watcher) Follow(pod *corev1.Pod, policy *v1alpha1.DrainPolicy) {
	t := targetOf(pod, policy, w.prober.options.Loopback)
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.followed[pod.UID]
	if before != nil {
		if reflect.DeepEqual(before.target, t) {
			return
		}
		before.stop()
	}
	ctx, stop := context.WithCancel(w.ctx)
	f := &follower{
		pod: types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name},
		uid: pod.UID, target: t, stop: stop,
	}
	w.followed[pod.UID] = f
	go w.follow(ctx, f)
}

// Seen is what the looks have shown; the zero value for a pod that is not followed.
func (w *Watcher) Seen(pod types.UID) drain.Watched {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.followed[pod]; f != nil {
		return f.seen
	}
	return drain.Watched{}
}

// Forget ends the looks at a pod.
func (w *Watcher) Forget(pod types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.followed[pod]; f != nil {
		f.stop()
		delete(w.followed, pod)
	}
}

// follow looks until ctx ends: at once, and then in the target's period. The
// second look is drawn from the first period, so that pods that were followed
// at the same moment are not all asked at the same moment for ever.
func (w *Watcher) follow(ctx context.Context, f *follower) {
	defer f.stop()
	spread := time.Duration(rand.Int64N(int64(f.target.period))) //nolint:gosec // no secret
	for hung := false; ; {
		taken := w.prober.look(ctx, f.target, hung)
		hung = taken.hung
		seen, current := w.took(f, taken)
		if !current || sleep(ctx, pause(f.target, taken, seen, spread)) != nil {
			return
		}
		if seen.Drained != 1 {
			spread = 0
		}
	}
}

// pause is the time until the next look, which is a period after the last one
// began; after the end of one that hung.
func pause(t target, taken look, seen drain.Watched, spread time.Duration) time.Duration {
	switch {
	case seen.Drained == 1:
		return min(confirm, t.period)
	case taken.hung:
		return t.period
	}
	return max(t.period-taken.ended.Sub(taken.begun)-spread, t.period/10)
}

// took keeps a look, unless the pod was forgotten or is followed in another way
// meanwhile.
func (w *Watcher) took(f *follower, taken look) (drain.Watched, bool) {
	w.mu.Lock()
	current := w.followed[f.uid] == f && w.ctx.Err() == nil
	tell := false
	if current {
		tell = f.count(taken)
	}
	seen := f.seen
	w.mu.Unlock()
	if tell {
		w.changed(f.pod)
	}
	return seen, current
}

// count adds a look to those in a row, and says whether it may change what
// becomes of the pod.
func (f *follower) count(taken look) bool {
	state := taken.reading.State
	if state != f.seen.Last.State {
		f.row = 0
	}
	f.row++
	seen := drain.Watched{Last: taken.reading, At: taken.ended}
	switch state {
	case drainstatus.Drained:
		seen.Drained, seen.DrainedSince = f.row, f.seen.DrainedSince
		if f.row == 1 {
			seen.DrainedSince = taken.begun
		}
	case drainstatus.Unreadable:
		seen.Unreadable = f.row
	}
	f.seen = seen
	return f.row <= firsts || state == drainstatus.Drained
}
