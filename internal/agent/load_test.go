package agent

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// ledger knows what a server really owes.
type ledger struct {
	inFlight atomic.Int64
	last     atomic.Int64 // when the last response was written, in ns
	served   atomic.Int64
}

// serve answers /<milliseconds>, every other response in two pieces.
func (l *ledger) serve(w http.ResponseWriter, r *http.Request) {
	l.keep(func(w http.ResponseWriter, r *http.Request) {
		if l.served.Load()%2 == 0 {
			w.Header().Set("Content-Length", "4")
		} else {
			w.WriteHeader(http.StatusOK)
		}
		work(w, r)
	})(w, r)
}

// keep enters what a handler serves.
func (l *ledger) keep(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l.inFlight.Add(1)
		defer l.inFlight.Add(-1)
		l.served.Add(1)
		handler(w, r)
		l.last.Store(time.Now().UnixNano())
	}
}

// settled says whether a hold that has just ended left nothing undone: no
// request is owed, and the last response is as old as idle. That many requests
// were to be served by then.
func (l *ledger) settled(t *testing.T, got hold.Result, served int64, idle time.Duration) {
	t.Helper()
	owed, last := l.inFlight.Load(), l.last.Load()
	if done := l.served.Load() - owed; owed != 0 || done < served {
		t.Errorf("%d requests in flight, %d done, want %d", owed, done, served)
	}
	if last > 0 {
		notBefore(t, got, time.Unix(0, last).Add(idle))
	}
}

// Clients that send one request after the other, with durations of a long
// tail, and leave at some time: whenever the hold ends, nothing is owed.
func TestTCPUnderLoad(t *testing.T) {
	t.Parallel()
	var l ledger
	port := serve(t, l.serve)
	var clients sync.WaitGroup
	random := rand.New(rand.NewPCG(1, 2))
	begin := time.Now()
	for range 40 {
		var paths []string
		for left := 1500 + random.IntN(4000); left > 0; {
			takes := 5 + random.IntN(20)
			if random.IntN(8) == 0 {
				takes = 200 + random.IntN(3000)
			}
			paths = append(paths, fmt.Sprintf("/%d", takes))
			left -= takes
		}
		closes := random.IntN(2) == 0
		clients.Go(func() {
			conn := dialPort(t, port, "")
			exchange(t, conn, paths...)
			if closes {
				_ = conn.Close()
			}
		})
	}
	time.Sleep(time.Duration(random.IntN(500)) * ms)
	got := wait(t, tcpSpec(port, 2))
	owed, released := l.inFlight.Load(), time.Now()
	clients.Wait()
	t.Logf("%d requests in %v, released %v after the last response", l.served.Load(), released.Sub(begin), released.Sub(time.Unix(0, l.last.Load())))
	if got.Outcome != hold.OutcomeDrained || owed != 0 {
		t.Errorf("%s with %d requests in flight", got.Outcome, owed)
	}
	if late := released.Sub(time.Unix(0, l.last.Load())); late > 10*time.Second+slack {
		t.Errorf("released %v after the last response", late)
	}
}
