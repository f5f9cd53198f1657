// Package drain lets a workload in Go say what it still owes, so that
// drain-operator keeps its pod alive until the last response is out.
//
// For an HTTP server this is all there is to do:
//
//	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
//	defer stop()
//	d := drain.New(drain.Options{})
//	err := d.Run(ctx, &http.Server{Addr: ":8080", Handler: mux})
//
// [Drainer.Run] counts the requests in flight, serves the drain status on a
// listener of its own, says Connection: close while draining, and ends the
// server gracefully once ctx is done. Whoever runs the server otherwise calls
// [Drainer.Instrument], or [Drainer.Middleware] alone, and
// [Drainer.ServeStatus]; work that is not an HTTP request is counted with
// [Drainer.Begin].
//
// # What is counted
//
// A request is in flight from the moment its headers are read until its
// response has been handed to the kernel: the middleware sees the handler, and
// the server's connection states see the moments before and after it. What is
// not seen is a request whose bytes have arrived, but whose headers have not
// been read to their end. That is why a reader looks only when no traffic
// comes any more, and twice.
//
// WebSockets and other hijacked connections count as long-lived from the
// hijack until they are closed; an event stream does once its handler calls
// [LongLived]. Whether they keep a pod is the policy's to say (longLived). What
// serves one waits for [Notice], which tells each of them at a moment of its own
// that its client is to connect elsewhere.
package drain

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// DefaultAddress is where the drain status is served: the port that the
// policies of the examples name, on loopback, since whoever reaches the
// notification can take the pod out of service. The agent reads it inside the
// pod. All containers of a pod share the loopback: a second one that uses this
// package needs an address of its own.
const DefaultAddress = "127.0.0.1:8089"

// DefaultShutdownTimeout is 5 s less than the grace that a pod has by default.
const DefaultShutdownTimeout = 25 * time.Second

// DefaultNoticeTime is over which time the clients of long-lived connections are
// told to connect elsewhere, where nobody says otherwise.
const DefaultNoticeTime = 10 * time.Second

// Status is the drain status of protocol version 1.
type Status = drainstatus.Status

// Options of a Drainer. The zero value is right for most workloads.
type Options struct {
	// Address of the listener for the drain status and the notification,
	// DefaultAddress where empty. With hold Deletion the operator reads the
	// status from outside of the pod: then ":8089", and the notification asks
	// for Token.
	Address string
	// SharedPort opens no such listener: StatusHandler and NotifyHandler are
	// then mounted on a mux of the workload's own.
	SharedPort bool
	// StatusPath and NotifyPath are the paths on that listener, /drain-status
	// and /drain where empty.
	StatusPath, NotifyPath string
	// Token that a notification has to carry wherever others than this pod can
	// send one. Empty: what DRAIN_OPERATOR_TOKEN holds, which the operator sets.
	Token string
	// ShutdownTimeout bounds the time from SIGTERM until Run returns,
	// DefaultShutdownTimeout where zero.
	ShutdownTimeout time.Duration
	// NoticeTime is over which time the clients of long-lived connections are
	// told to connect elsewhere (see Notice), DefaultNoticeTime where zero. What
	// the notification says comes before it. After SIGTERM it is at most half
	// of ShutdownTimeout.
	NoticeTime time.Duration
	// MaxConnectionAge is how old a long-lived connection gets before its
	// client is told to connect elsewhere, give or take a tenth; none where
	// zero. With one that is shorter than the time between two deployments,
	// few connections are left that a deployment would end.
	MaxConnectionAge time.Duration
}

func (o Options) withDefaults() Options {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&o.Address, DefaultAddress)
	set(&o.StatusPath, drainstatus.DefaultStatusPath)
	set(&o.NotifyPath, drainstatus.DefaultNotifyPath)
	set(&o.Token, os.Getenv(drainstatus.TokenEnv))
	if o.ShutdownTimeout <= 0 {
		o.ShutdownTimeout = DefaultShutdownTimeout
	}
	if o.NoticeTime <= 0 {
		o.NoticeTime = DefaultNoticeTime
	}
	return o
}

// Drainer counts what a workload owes and knows whether it is draining. Its
// methods may be called from any goroutine.
type Drainer struct {
	options Options
	ledger  ledger
	// conns holds the *connection of each net.Conn of an instrumented server.
	conns   sync.Map
	notices *notices

	draining atomic.Bool
	mu       sync.Mutex
	started  chan struct{} // closed while draining
}

// New returns a Drainer that is not draining. It starts nothing.
func New(o Options) *Drainer {
	return &Drainer{options: o.withDefaults(), started: make(chan struct{}), notices: newNotices(o.MaxConnectionAge)}
}

// Begin counts a piece of work that is not an HTTP request: a message of a
// queue, a call of another protocol. The work is in flight until end is
// called; a second call of end does nothing.
func (d *Drainer) Begin() (end func()) {
	return d.begin(nil).end
}

// SetDraining starts the draining, or stops it when the pod is wanted after
// all. While draining, responses carry Connection: close, and the clients of
// long-lived connections are told to connect elsewhere (see Notice).
func (d *Drainer) SetDraining(draining bool) {
	d.take(drainstatus.Notification{Draining: draining})
}

// take does what a notification says. One that says what is so already changes
// nothing.
func (d *Drainer) take(n drainstatus.Notification) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch was := d.draining.Swap(n.Draining); {
	case n.Draining && !was:
		close(d.started)
		d.notices.begin(d.noticeTime(n))
	case !n.Draining && was:
		d.started = make(chan struct{})
		d.notices.end()
	}
}

// noticeTime is over which time clients are told, and after which.
func (d *Drainer) noticeTime(n drainstatus.Notification) (after, over time.Duration) {
	if n.Notice != nil {
		return n.Notice.After(), n.Notice.For()
	}
	return 0, d.options.NoticeTime
}

// Draining says whether the workload is draining.
func (d *Drainer) Draining() bool { return d.draining.Load() }

// DrainStarted returns a channel that is closed as soon as the workload is
// draining. What serves a long-lived connection waits for Notice instead, which
// does not come to all of them at once. After a SetDraining(false) there is a
// new channel.
func (d *Drainer) DrainStarted() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.started
}

// Status says what the workload owes at this moment.
func (d *Drainer) Status() Status {
	s := d.ledger.status(time.Now())
	s.Version = drainstatus.Version
	s.Draining = d.Draining()
	return s
}

// Wait returns nil at a moment at which nothing is in flight, or the error of
// ctx once that is done. It does not start the draining.
func (d *Drainer) Wait(ctx context.Context) error {
	return d.ledger.wait(ctx, d.ledger.idle)
}
