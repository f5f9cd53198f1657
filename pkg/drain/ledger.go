package drain

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// ledger keeps count of what is owed. Counting takes a few atomic additions and
// one of several locks, so that requests on many cores do not wait for each
// other; reading takes all of them, and is rare.
type ledger struct {
	// owed is the sum of requests and conns. It alone decides about drained:
	// between the states of one request it never touches 0.
	owed      atomic.Int64
	requests  atomic.Int64 // in flight, as the middleware and Begin see them
	conns     atomic.Int64 // in the middle of a request, as the server sees them
	longLived atomic.Int64

	shards [16]shard
	change broadcast
}

func (l *ledger) idle() bool       { return l.owed.Load() <= 0 }
func (l *ledger) noneLeft() bool   { return l.idle() && l.longLived.Load() <= 0 }
func (l *ledger) anyShard() *shard { return &l.shards[rand.IntN(len(l.shards))] }

func (l *ledger) addRequests(n int64) {
	l.requests.Add(n)
	l.owe(n)
}

func (l *ledger) addConns(n int64) {
	l.conns.Add(n)
	l.owe(n)
}

func (l *ledger) owe(n int64) {
	if l.owed.Add(n) == 0 {
		l.change.wake()
	}
}

func (l *ledger) addLongLived(n int64) {
	if l.longLived.Add(n) == 0 {
		l.change.wake()
	}
}

// status reads the counts. A request shows both as a request and as its
// connection, but for the moments around its handler, and those of one HTTP/2
// connection share it: the larger count is the better one.
func (l *ledger) status(now time.Time) Status {
	s := Status{LongLived: max(0, l.longLived.Load())}
	if s.LongLived > 0 {
		s.OldestLongLivedSeconds = age(now, l.oldest((*shard).firstLongLived))
	}
	if l.idle() {
		return s
	}
	s.InFlight = max(1, l.requests.Load(), l.conns.Load())
	s.OldestInFlightSeconds = age(now, l.oldest((*shard).first))
	return s
}

// wait returns nil once done is true, which it can become only when something
// reaches 0, or the error of ctx.
func (l *ledger) wait(ctx context.Context, done func() bool) error {
	changed, leave := l.change.join()
	defer leave()
	for {
		next := changed() // before done is looked at: else a change is missed
		if done() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next:
		}
	}
}

// age in seconds of what began at a time; 0 for the zero time.
func age(now, began time.Time) float64 {
	if began.IsZero() {
		return 0
	}
	return max(0, now.Sub(began).Seconds())
}

// oldest returns when the first of all shards' first ones began, zero where
// there is none.
func (l *ledger) oldest(first func(*shard) time.Time) time.Time {
	var oldest time.Time
	for i := range l.shards {
		if t := first(&l.shards[i]); !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	return oldest
}

// shard has requests in flight in the order of their beginning, and long-lived
// ones in the order in which they became so, which is nearly the same.
type shard struct {
	mu                  sync.Mutex
	inFlight, longLived line
	_                   [24]byte // to a cache line: neighbours are locked by other cores
}

func (s *shard) first() time.Time          { return s.firstOf(&s.inFlight) }
func (s *shard) firstLongLived() time.Time { return s.firstOf(&s.longLived) }

func (s *shard) firstOf(l *line) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.front == nil {
		return time.Time{}
	}
	return l.front.start
}

func (s *shard) add(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.start = time.Now() // under the lock, so that the line stays in order
	s.inFlight.push(q)
}

// keep has a request among the long-lived ones from now on.
func (s *shard) keep(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.leave()
	s.longLived.push(q)
}

// remove forgets a request, whichever line it is in.
func (s *shard) remove(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.leave()
}

// line is a list of requests, guarded by the lock of its shard.
type line struct{ front, back *request }

func (l *line) push(q *request) {
	q.line, q.prev = l, l.back
	if l.back != nil {
		l.back.next = q
	} else {
		l.front = q
	}
	l.back = q
}

// leave takes a request out of its line, if it is in one.
func (q *request) leave() {
	l := q.line
	if l == nil {
		return
	}
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		l.front = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		l.back = q.prev
	}
	q.line, q.prev, q.next = nil, nil, nil
}
