package drain

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// ageJitter is how much of the maximum age a connection may live longer or
	// shorter: those that came together after a rollout are to go one by one.
	ageJitter = 0.1

	// leastNotice is over which time clients are told that connect when the
	// notice is over: one that is sent back to the same pod is not to go round
	// in circles.
	leastNotice = time.Second
)

// Notice returns a channel that is closed when the client of a long-lived
// connection is to connect elsewhere: because the workload drains, or because
// the connection is older than Options.MaxConnectionAge. What serves the
// connection then says so (a WebSocket by close code 1012, an event stream by
// returning), and ends it.
//
// While draining, each connection has a moment of its own, spread evenly over
// the time that the policy's longLived.noticeSeconds gives, so that a thousand
// clients do not come back within one second. After a SetDraining(false), those
// whose moment has not come stay.
//
// ctx is the context of the request that the handler was given, or derived from
// it. The channel is nil where that request is not counted, or no longer.
func Notice(ctx context.Context) <-chan struct{} {
	q := requestOf(ctx)
	if q == nil {
		return nil
	}
	return q.noticed()
}

// BeginLongLived counts a long-lived connection that did not begin as an HTTP
// request, until end is called. The channel is what Notice returns.
func (d *Drainer) BeginLongLived() (notice <-chan struct{}, end func()) {
	q := d.begin(nil)
	q.move(longLived, inFlight)
	return q.noticed(), q.end
}

// notices tells connections, one by one, that they are to end.
type notices struct {
	mu     sync.Mutex
	all    map[*notice]struct{}
	maxAge time.Duration // 0: none
	place  float64
	// window is over which time connections are told; nil while not draining.
	window *window
}

// window is a span of time.
type window struct{ from, to time.Time }

// notice is one connection's.
type notice struct {
	ch      chan struct{}
	place   float64 // in the window, and in the jitter of the age: in [0, 1)
	expires time.Time
	leaves  time.Time // in the window; zero while there is none
	due     time.Time // the earlier of the two; zero: never
	timer   *time.Timer
}

// golden is the step by which places follow each other: any number of them in
// a row lies evenly over [0, 1).
var golden = (math.Sqrt(5) - 1) / 2

func newNotices(maxAge time.Duration) *notices {
	// Pods that are told together begin at different places.
	return &notices{all: map[*notice]struct{}{}, maxAge: maxAge, place: rand.Float64()} //nolint:gosec // no secret
}

// add takes in a connection that began at a time.
func (l *notices) add(began time.Time) *notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, l.place = math.Modf(l.place + golden)
	n := &notice{ch: make(chan struct{}), place: l.place}
	if l.maxAge > 0 {
		n.expires = began.Add(time.Duration(float64(l.maxAge) * (1 - ageJitter + 2*ageJitter*n.place)))
	}
	l.all[n] = struct{}{}
	if now := time.Now(); l.window != nil {
		from := later(l.window.from, now)
		n.leaves = window{from, later(l.window.to, from.Add(leastNotice))}.at(n.place)
	}
	l.schedule(n)
	return n
}

// remove forgets a connection that has ended.
func (l *notices) remove(n *notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(n)
}

func (l *notices) forget(n *notice) {
	delete(l.all, n)
	if n.timer != nil {
		n.timer.Stop()
	}
}

// begin tells all connections over a time, which begins after another one.
func (l *notices) begin(after, over time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := time.Now().Add(after)
	l.window = &window{from, from.Add(over)}
	for n := range l.all {
		n.leaves = l.window.at(n.place)
		l.schedule(n)
	}
}

// hasten tells those that are left within a time from now on, if that is sooner.
func (l *notices) hasten(within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	sooner := window{now, now.Add(within)}
	if l.window == nil || !sooner.to.Before(l.window.to) {
		return
	}
	gone := l.window.part(now)
	l.window = &sooner
	for n := range l.all {
		place := n.place
		if place >= gone { // those before have been told, or came late
			place = (place - gone) / (1 - gone)
		}
		n.leaves = sooner.at(place)
		l.schedule(n)
	}
}

// end tells no more, but those that are too old.
func (l *notices) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window = nil
	for n := range l.all {
		n.leaves = time.Time{}
		l.schedule(n)
	}
}

// schedule has a connection told when it is due, or too old.
func (l *notices) schedule(n *notice) {
	if n.timer != nil {
		n.timer.Stop()
	}
	n.due = n.leaves
	if n.due.IsZero() || !n.expires.IsZero() && n.expires.Before(n.due) {
		n.due = n.expires
	}
	if !n.due.IsZero() {
		n.timer = time.AfterFunc(time.Until(n.due), func() { l.tell(n) })
	}
}

// tell closes a connection's channel, unless it has ended, or is due later by
// now.
func (l *notices) tell(n *notice) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, waits := l.all[n]; !waits || n.due.IsZero() || time.Now().Before(n.due) {
		return
	}
	l.forget(n)
	close(n.ch)
}

// at is a place's time in the window.
func (w window) at(place float64) time.Time {
	return w.from.Add(time.Duration(place * float64(w.to.Sub(w.from))))
}

// part is how much of the window has passed, less than 1.
func (w window) part(now time.Time) float64 {
	passed := float64(now.Sub(w.from)) / float64(max(w.to.Sub(w.from), 1))
	return min(max(passed, 0), math.Nextafter(1, 0))
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
