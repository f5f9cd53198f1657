package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxWork bounds one request.
const maxWork = 5 * time.Minute

// work is what the server owes and has done.
type work struct {
	reporter *reporter
	metrics  *metrics
	polite   bool
	flush    bool

	mu           sync.Mutex
	inFlight     int
	served       int
	lastRequest  time.Time
	lastResponse time.Time
	draining     bool
	changed      chan struct{} // closed and replaced when inFlight changes

	deadlocked chan struct{}
	deadlock   sync.Once

	saying atomic.Pointer[handlerBox]
}

func newWork(r *reporter, polite, flush bool) *work {
	w := &work{reporter: r, polite: polite, flush: flush, changed: make(chan struct{}), deadlocked: make(chan struct{})}
	w.metrics = newMetrics(func() int { inFlight, _, _ := w.look(); return inFlight })
	return w
}

func (w *work) handler() http.Handler {
	mux := http.NewServeMux()
	for path, handler := range map[string]http.HandlerFunc{"/work": w.serve, "/healthz": w.health, "/readyz": w.health} {
		mux.HandleFunc(path, w.metrics.timed(path, handler))
	}
	mux.HandleFunc("/deadlock", func(http.ResponseWriter, *http.Request) {
		w.deadlock.Do(func() { close(w.deadlocked) })
	})
	mux.HandleFunc("/say", func(rw http.ResponseWriter, r *http.Request) {
		if err := w.says(r.FormValue("status")); err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
		}
	})
	return mux
}

func (w *work) health(_ http.ResponseWriter, r *http.Request) { w.hangIfDeadlocked(r) }

// hangIfDeadlocked never comes back before the client has given up.
func (w *work) hangIfDeadlocked(r *http.Request) {
	select {
	case <-w.deadlocked:
		<-r.Context().Done()
	default:
	}
}

// serve takes the whole request, works, and counts it as in flight until the
// last byte of the answer was handed to the kernel.
func (w *work) serve(rw http.ResponseWriter, r *http.Request) {
	w.begin()
	defer w.finish()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	w.hangIfDeadlocked(r)
	ms, _ := strconv.Atoi(r.FormValue("ms"))
	name := os.Getenv("POD_NAME") + "\n"
	rw.Header().Set("X-Pod", os.Getenv("POD_NAME"))
	rw.Header().Set("Content-Length", strconv.Itoa(len(name)))
	out := http.NewResponseController(rw)
	if w.flush || r.FormValue("flush") != "" {
		rw.WriteHeader(http.StatusOK)
		_ = out.Flush() // a client that went away is no failure of this server
	}
	pause(r.Context(), min(time.Duration(ms)*time.Millisecond, maxWork))
	if w.isDraining() { // asked late: the drain may have begun meanwhile
		rw.Header().Set("Connection", "close")
	}
	_, _ = io.WriteString(rw, name)
	_ = out.Flush()
}

// pause is the work itself.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (w *work) begin() { w.count(1) }

func (w *work) finish() { w.count(-1) }

func (w *work) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight += n
	if n > 0 {
		w.lastRequest = time.Now()
	} else {
		w.served++
		w.lastResponse = time.Now()
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *work) setDraining(draining bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = draining
}

func (w *work) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining && w.polite
}

// look is the number in flight, and a channel that is closed when it changes.
func (w *work) look() (inFlight int, draining bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inFlight, w.draining, w.changed
}

func (w *work) report(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reporter.write(Report{
		Event: event, At: time.Now(), InFlight: w.inFlight, Served: w.served,
		LastRequest: w.lastRequest, LastResponse: w.lastResponse, Notified: w.draining,
	})
}

func shutdown(s *http.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxWork)
	defer cancel()
	return s.Shutdown(ctx)
}
