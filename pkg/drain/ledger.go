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
	if l.idle() {
		return s
	}
	s.InFlight = max(1, l.requests.Load(), l.conns.Load())
	if oldest := l.oldest(); !oldest.IsZero() {
		s.OldestInFlightSeconds = max(0, now.Sub(oldest).Seconds())
	}
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

// oldest returns when the oldest request in flight began, zero where none is.
func (l *ledger) oldest() time.Time {
	var oldest time.Time
	for i := range l.shards {
		if t := l.shards[i].first(); !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	return oldest
}

// shard is a list of requests in flight in the order of their beginning.
type shard struct {
	mu          sync.Mutex
	front, back *request
	_           [40]byte // to a cache line: neighbours are locked by other cores
}

func (s *shard) first() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.front == nil {
		return time.Time{}
	}
	return s.front.start
}

func (s *shard) add(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.start = time.Now() // under the lock, so that the list stays in order
	q.prev = s.back
	if s.back != nil {
		s.back.next = q
	} else {
		s.front = q
	}
	s.back = q
}

func (s *shard) remove(q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.prev != nil {
		q.prev.next = q.next
	} else {
		s.front = q.next
	}
	if q.next != nil {
		q.next.prev = q.prev
	} else {
		s.back = q.prev
	}
	q.prev, q.next = nil, nil
}
