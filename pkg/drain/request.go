package drain

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

// class says as what a request counts.
type class int

const (
	inFlight  class = iota
	longLived       // its handler said so
	hijacked        // its connection was taken over, and is long-lived
	ignored         // it asks for the drain status, or changes it
	done
)

// isLongLived says whether the class counts as long-lived.
func (c class) isLongLived() bool { return c == longLived || c == hijacked }

// request is one request, or another piece of work, from its beginning to its end.
type request struct {
	d    *Drainer
	conn *connection // nil where the server is not instrumented

	mu     sync.Mutex
	class  class
	notice *notice // nil unless somebody listens

	// The place in one of the shard's lines, guarded by its lock.
	shard      *shard
	line       *line
	start      time.Time
	prev, next *request
}

func (d *Drainer) begin(c *connection) *request {
	q := &request{d: d, conn: c, shard: d.ledger.anyShard()}
	q.shard.add(q)
	d.ledger.addRequests(1)
	return q
}

// end is the end of the handler, or of the work. A hijacked connection outlives
// it.
func (q *request) end() {
	q.move(done, inFlight, longLived, ignored)
}

// move changes the class if it is one of from, and says whether it was. The new
// class is counted before the old one is left, so that nobody who looks sees
// the request in neither.
func (q *request) move(to class, from ...class) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.class
	if !slices.Contains(from, was) {
		return false
	}
	q.class = to
	if to.isLongLived() {
		q.d.ledger.addLongLived(1)
	}
	if to != done && q.conn != nil {
		q.conn.setAside(q.d)
	}
	if to == done && q.notice != nil {
		q.d.notices.remove(q.notice)
	}
	switch {
	case !to.isLongLived():
		q.shard.remove(q)
	case !was.isLongLived():
		q.shard.keep(q)
	}
	switch {
	case was == inFlight:
		q.d.ledger.addRequests(-1)
	case was.isLongLived():
		q.d.ledger.addLongLived(-1)
	}
	return true
}

// noticed returns the channel of the request's notice, nil where it has ended.
func (q *request) noticed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.class == done || q.class == ignored {
		return nil
	}
	if q.notice == nil {
		q.notice = q.d.notices.add(q.start)
	}
	return q.notice.ch
}

type requestKey struct{}

// requestOf returns the request in a context, nil where no Drainer put one.
func requestOf(ctx context.Context) *request {
	q, _ := ctx.Value(requestKey{}).(*request)
	return q
}

// LongLived counts a request as long-lived from now until its handler returns:
// an event stream, a long poll, a download without end. Call it with the
// request that the handler was given. It returns false, and does nothing, where
// the request is not counted, or no longer.
func LongLived(r *http.Request) bool {
	q := requestOf(r.Context())
	return q != nil && q.move(longLived, inFlight)
}
