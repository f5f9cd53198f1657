package observe

import (
	"errors"
	"net"
	"sync"
	"time"
)

// quiet is how long a source is left alone that took no connection. It is less
// than a round, so that each policy's next one asks again.
const quiet = 15 * time.Second

// reach remembers, for all policies, that a source took no connection: a
// thousand of them would otherwise wait for the same timeout one after the
// other, and hold up those that ask elsewhere. What happens within a
// connection is not remembered: it may be one policy's query that is slow.
type reach struct {
	mu      sync.Mutex
	at      time.Time
	refused *Failure
}

// failure is what was noted within the quiet time before now.
func (r *reach) failure(now time.Time) *Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := now.Sub(r.at); r.refused == nil || since < 0 || since >= quiet {
		return nil
	}
	return r.refused
}

// note keeps a failure to connect.
func (r *reach) note(now time.Time, err error, failure *Failure) {
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at, r.refused = now, failure
}
