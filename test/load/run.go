package load

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxRecords bounds the memory of a run: about 60 MB.
const maxRecords = 1_000_000

// forever is longer than anybody lets a run go on.
const forever = 24 * time.Hour

// Run is load under way.
type Run struct {
	cfg     Config
	started time.Time
	stop    context.CancelFunc
	done    chan struct{}
	under   atomic.Int64

	mu   sync.Mutex
	pods map[string]int
	res  Results
	live Tally
	// fresh is how many of live had a connection of their own.
	fresh int
	// told and untold are how many long-lived connections the other side ended.
	told, untold int
	// open is how many long-lived connections there are.
	open atomic.Int64
}

// Live is a look at a run under way.
type Live struct {
	Elapsed     time.Duration `json:"elapsedNanos"`
	Requests    int           `json:"requests"`
	Fresh       int           `json:"fresh"`
	Failed      int           `json:"failed"`
	Outstanding int           `json:"outstanding"`
	NotSent     int           `json:"notSent"`
	// Open is how many long-lived connections are open. Told and Untold are how
	// many have ended that were told to go, and that were not.
	Open   int `json:"open"`
	Told   int `json:"told"`
	Untold int `json:"untold"`
}

// Start begins to send. The run ends after its configured duration, with ctx or
// with Stop, whichever is first; requests under way are waited for.
func Start(ctx context.Context, cfg Config) (*Run, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if err := await(ctx, cfg); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	d := cfg.duration()
	if d == 0 {
		d = forever
	}
	ctx, stop := context.WithTimeout(ctx, d)
	now := time.Now()
	r := &Run{
		cfg: cfg, started: now, stop: stop, done: make(chan struct{}),
		pods: map[string]int{"": 0}, res: Results{StartedAt: now, Pods: []string{""}},
	}
	go r.all(ctx)
	return r, nil
}

// await waits until the target accepts a connection, which is closed again.
func await(ctx context.Context, cfg Config) error {
	if cfg.AwaitSeconds == 0 {
		return nil
	}
	addr, _ := cfg.address()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(cfg.AwaitSeconds)*time.Second)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", addr.String())
		if err == nil {
			return c.Close()
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s accepted no connection for %d s: %w", addr, cfg.AwaitSeconds, err)
		}
	}
}

// all runs every stream to its end. Each has a number of its own, from which
// its requests follow.
func (r *Run) all(ctx context.Context) {
	var streams sync.WaitGroup
	if r.cfg.FreshPerSecond > 0 {
		streams.Go(func() { r.paced(ctx, 1, Fresh, r.cfg.FreshPerSecond, r.cfg.MaxOutstanding) })
	}
	if r.cfg.KeepAlivePerSecond > 0 {
		streams.Go(func() { r.paced(ctx, 2, KeepAlive, r.cfg.KeepAlivePerSecond, r.cfg.KeepAliveConns) })
	}
	for i := range r.cfg.BusyConns {
		streams.Go(func() { r.busy(ctx, uint64(3+i)) })
	}
	for i := range r.cfg.RPCConns {
		streams.Go(func() { r.rpcs(ctx, rpcStreams+uint64(i)) })
	}
	r.sessions(ctx, &streams)
	streams.Wait()
	r.stop()
	r.mu.Lock()
	r.res.Elapsed = time.Since(r.started)
	r.mu.Unlock()
	close(r.done)
}

// paced sends at planned times, however long the answers take. Where all
// connections are in use, requests wait for one, until too many do.
func (r *Run) paced(ctx context.Context, stream uint64, kind Kind, rate float64, conns int) {
	c := newClient(r.cfg, kind, conns)
	defer c.close()
	slots := make(chan struct{}, conns)
	room := make(chan struct{}, r.cfg.MaxOutstanding)
	plan := newShape(r.cfg, stream, rate)
	var sent sync.WaitGroup
	defer sent.Wait()
	for at := time.Duration(0); ; {
		p := plan.next()
		at += p.after
		if !r.waitUntil(ctx, at) {
			return
		}
		select {
		case room <- struct{}{}:
		default:
			r.notSent()
			continue
		}
		sent.Go(func() {
			slots <- struct{}{}
			r.send(c, p, at)
			<-slots
			<-room
		})
	}
}

// busy sends on one connection, a request as soon as the last was answered.
func (r *Run) busy(ctx context.Context, stream uint64) {
	c := newClient(r.cfg, Busy, 1)
	defer c.close()
	for plan := newShape(r.cfg, stream, 0); ctx.Err() == nil; {
		cause := r.send(c, plan.next(), -1)
		// A service without a listener, or a proxy without a server behind it,
		// would be asked in a tight loop.
		if (cause == Refused || cause == ServerError) && !r.waitUntil(ctx, time.Since(r.started)+100*time.Millisecond) {
			return
		}
	}
}

// send sends one request and records its end. planned is when it was due, for
// the lag; negative if it had no time of its own.
func (r *Run) send(c *client, p planned, planned time.Duration) Cause {
	r.under.Add(1)
	defer r.under.Add(-1)
	start := time.Since(r.started)
	e := c.do(p)
	rec := Record{Start: start, Work: p.work, Latency: time.Since(r.started) - start, Kind: c.kind, Method: p.method, Cause: e.cause}
	lag := time.Duration(0)
	if planned >= 0 {
		lag = start - planned
	}
	r.record(rec, e, lag)
	return e.cause
}

// maxOthers bounds the errors that are kept as text.
const maxOthers = 20

func (r *Run) record(rec Record, e ended, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec.Pod = r.podIndex(e.pod)
	if e.cause == Other {
		r.other(e.err)
	}
	r.res.MaxLag = max(r.res.MaxLag, lag)
	r.live.Requests++
	r.live.ByCause[rec.Cause]++
	if rec.Kind == Fresh {
		r.fresh++
	}
	if len(r.res.Records) == maxRecords {
		r.res.NotSent++
		r.stop()
		return
	}
	r.res.Records = append(r.res.Records, rec)
}

// other keeps the text of one of the first errors that have no cause of their own.
func (r *Run) other(err error) {
	if len(r.res.Others) < maxOthers {
		r.res.Others = append(r.res.Others, fmt.Sprintf("%.200v", err))
	}
}

// podIndex numbers the pods in the order of their first answers. A workload
// that sends ever new names fills no memory: beyond 1000 they are nameless.
func (r *Run) podIndex(pod string) int {
	i, known := r.pods[pod]
	if !known && len(r.pods) < 1000 && len(pod) < 256 {
		i = len(r.res.Pods)
		r.pods[pod] = i
		r.res.Pods = append(r.res.Pods, pod)
	}
	return i
}

func (r *Run) notSent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.res.NotSent++
}

// waitUntil waits for a time of the run and says whether it came before the end.
func (r *Run) waitUntil(ctx context.Context, at time.Duration) bool {
	t := time.NewTimer(at - time.Since(r.started))
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// Live is the state of the run now.
func (r *Run) Live() Live {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Live{
		Elapsed: time.Since(r.started), Requests: r.live.Requests, Fresh: r.fresh, Failed: r.live.Failed(),
		Outstanding: int(r.under.Load()), NotSent: r.res.NotSent,
		Open: int(r.open.Load()), Told: r.told, Untold: r.untold,
	}
}

// Stop sends nothing new. It does not wait; Wait does.
func (r *Run) Stop() { r.stop() }

// Done is closed when the run has ended and every request with it.
func (r *Run) Done() <-chan struct{} { return r.done }

// Wait waits for the end of the run and returns what it saw, an error if the
// load was not what the configuration asked for.
func (r *Run) Wait() (Results, error) {
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.res.NotSent > 0 {
		return r.res, fmt.Errorf("load: %d requests were due and not sent: too many were under way", r.res.NotSent)
	}
	return r.res, nil
}
