// Package agent is what runs in a pod's containers: it looks, asks and tells,
// while package waiting decides.
package agent

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
	"github.com/drain-operator/drain-operator/internal/sockets"
	"github.com/drain-operator/drain-operator/internal/waiting"
)

// Causes for which a hold's context is cancelled.
var (
	// ErrReleased: somebody ended the hold by hand.
	ErrReleased = errors.New("released by hand")
	// ErrStopped: the agent was told to end.
	ErrStopped = errors.New("told to end")
)

// glanceTime is little: who cannot answer within it is busy.
const glanceTime = 500 * time.Millisecond

// waiter runs one hold.
type waiter struct {
	spec   hold.Spec
	start  time.Time
	log    func(format string, args ...any)
	dialer dialer
	own    *sockets.Own
	eye    *sockets.Eye
	hold   *waiting.Hold

	// events bring what goroutines found to the loop, which alone touches hold.
	events          chan func(at time.Duration)
	asking, probing bool
	asker           asker
	// glanceTime is how long the first look may take: the workload is told
	// after it.
	glanceTime time.Duration
}

// Wait holds until the pod has drained, as spec says, and returns how it ended.
// start is when the hook began. ctx is cancelled with ErrReleased or ErrStopped
// to end it early.
func Wait(ctx context.Context, spec hold.Spec, start time.Time, log func(format string, args ...any)) hold.Result {
	return newWaiter(spec, start, log).run(ctx)
}

func (w *waiter) run(ctx context.Context) hold.Result {
	defer w.close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.begin(ctx)
	result := w.loop(ctx)
	w.last(ctx, &result)
	result.EndedUnix = float64(time.Now().UnixMilli()) / 1000
	return result
}

func newWaiter(spec hold.Spec, start time.Time, log func(string, ...any)) *waiter {
	own := &sockets.Own{}
	w := &waiter{spec: spec, start: start, log: log, own: own, dialer: newDialer(own), events: make(chan func(time.Duration), 8), glanceTime: glanceTime}
	facts := waiting.Facts{Age: sockets.Age(time.Now())}
	var err error
	if w.eye, err = sockets.Open(own, spec.ServePorts); err != nil {
		facts.SocketsRefused = err.Error()
		log("sockets: %v", err)
	}
	w.hold = waiting.New(spec, facts)
	if spec.HTTP != nil {
		w.asker = newAsker(w.dialer, *spec.HTTP)
	}
	return w
}

func (w *waiter) close() {
	if w.eye != nil {
		_ = w.eye.Close() // nothing was written to it
	}
}

func (w *waiter) now() time.Duration { return time.Since(w.start) }

// begin starts the container's own hook where it comes first, and then tells
// the workload. How old its connections are is looked at before it is told.
func (w *waiter) begin(ctx context.Context) {
	glanced := w.glance(ctx)
	first := w.spec.Existing != nil && !w.spec.Existing.Last
	if first {
		w.hold.HookBegan()
	}
	if !first && w.spec.Notify == nil {
		return
	}
	go func() {
		if first {
			w.noted("own hook", runHook(ctx, w.dialer, *w.spec.Existing))
			w.events <- func(time.Duration) { w.hold.HookEnded() }
		}
		if w.spec.Notify != nil {
			<-glanced
			w.noted("notify", notify(ctx, w.dialer, *w.spec.Notify, waiting.Notice(w.spec)))
			w.events <- w.hold.Told
		}
	}()
}

// glance asks for the drain status once, where it tells how old connections
// are, on a connection that nobody keeps. The channel is closed once it is
// answered, or was not in time.
func (w *waiter) glance(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if w.spec.HTTP == nil || !w.asker.dialect.TellsLongLived() {
		close(done)
		return done
	}
	once := w.asker
	once.client = w.dialer.client(false)
	once.timeout = min(once.timeout, w.glanceTime)
	go func() {
		reading := once.ask(ctx, 0, drainstatus.Exclude)
		close(done)
		w.events <- func(at time.Duration) {
			w.log("%v connections: %d long-lived, the oldest %.0f s old", at, reading.LongLived, reading.OldestLongLivedSeconds)
			w.hold.Glanced(at, reading)
		}
	}()
	return done
}

// noted logs what went wrong, which holds nothing up.
func (w *waiter) noted(what string, err error) {
	if err != nil {
		w.log("%s: %v", what, err)
		return
	}
	w.log("%s: done", what)
}

// loop does what the hold asks for until it ends.
func (w *waiter) loop(ctx context.Context) hold.Result {
	for {
		step := w.hold.Next(w.now())
		if step.Result != nil {
			return *step.Result
		}
		w.act(ctx, step)
		if !w.await(ctx, step) {
			w.interrupted(ctx)
		}
	}
}

// act does what is due.
func (w *waiter) act(ctx context.Context, step waiting.Step) {
	now := w.now()
	if now >= step.Look {
		w.look()
	}
	if now >= step.Ask && !w.asking {
		w.asking = true
		w.hold.Asked(now)
		go func() {
			reading := w.asker.ask(ctx, step.AskWait, step.LongLived)
			w.events <- func(at time.Duration) {
				w.asking = false
				w.log("%v status: %s, %s", at, reading.State, reading.Reason)
				w.hold.Answered(at, reading)
			}
		}()
	}
	if now >= step.Probe && !w.probing {
		w.probing = true
		go func() {
			err := probe(ctx, w.dialer, *w.spec.Alive)
			took := w.now() - now
			w.events <- func(at time.Duration) {
				w.probing = false
				w.noted("liveness", err)
				w.hold.Probed(at, took, resultOf(err))
			}
		}()
	}
}

// await waits for the next thing to happen or to do. It returns false when the
// hold is to be ended from outside.
func (w *waiter) await(ctx context.Context, step waiting.Step) bool {
	next := min(step.Look, step.Wake)
	if w.now() >= step.Look {
		return true // taken; the next is known only now
	}
	if !w.asking {
		next = min(next, step.Ask)
	}
	if !w.probing {
		next = min(next, step.Probe)
	}
	timer := time.NewTimer(max(0, next-w.now()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case event := <-w.events:
		event(w.now())
	case <-timer.C:
	}
	return true
}

func (w *waiter) interrupted(ctx context.Context) {
	if errors.Is(context.Cause(ctx), ErrReleased) {
		w.hold.Released(w.now())
		return
	}
	w.hold.Stopped(w.now())
}

// look looks at the sockets; a follower makes do with the listeners.
func (w *waiter) look() {
	before := cpuTime()
	var look inflight.Look
	var err error
	if w.eye != nil {
		look, err = w.eye.Look()
	} else {
		look.Listeners, err = sockets.Listeners()
	}
	if err != nil {
		w.log("%v %v", w.now(), err)
		w.hold.LookFailed(w.now(), err.Error())
		return
	}
	w.hold.Look(w.now(), look, cpuTime()-before)
}

// cpuTime is what this process has used; on a busy node much more time passes.
func cpuTime() time.Duration {
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used); err != nil {
		return 0 // looks are then as close as they may be
	}
	return time.Duration(used.Nano())
}

// last runs the container's own hook where it comes last, until the bound. It
// gets a moment even when the hold used up its time.
func (w *waiter) last(ctx context.Context, result *hold.Result) {
	if w.spec.Existing == nil || !w.spec.Existing.Last || errors.Is(context.Cause(ctx), ErrStopped) {
		return
	}
	end := w.start.Add(time.Duration(w.spec.BoundSeconds) * time.Second)
	if soon := time.Now().Add(time.Second); end.Before(soon) {
		end = soon
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
	defer cancel()
	before := w.now()
	w.noted("own hook", runHook(ctx, w.dialer, *w.spec.Existing))
	result.HeldSeconds, result.LastHookSeconds = w.now().Seconds(), (w.now() - before).Seconds()
}
