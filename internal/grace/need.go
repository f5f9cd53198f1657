package grace

import (
	"time"

	"k8s.io/utils/ptr"
)

// need is what a hold needs as measured now.
type need struct {
	propagation time.Duration
	observed    bool // the propagation, and not the policy's

	// notice is for the clients of long-lived connections.
	notice time.Duration

	// What the budget is the longest of.
	latency  time.Duration // with the margin
	residual time.Duration
	drained  time.Duration
}

func (n need) budget() time.Duration {
	return max(n.latency, n.residual, n.drained)
}

func (n need) hold() time.Duration { return n.propagation + n.notice + n.budget() }

func (r *round) findNeed() need {
	n := need{propagation: seconds(r.set.propagationMax), notice: seconds(r.set.notice)}
	n.drained = max(0, seconds(r.drains.drained)-n.notice) // drains waited for that, too
	// A drain that waited for the maximum was not seen out of rotation by then.
	longest := seconds(max(r.drains.propagation, 0))
	if r.drains.propagations >= enoughPropagations && !r.drains.inRotation && longest < n.propagation {
		n.propagation, n.observed = longest, true
	}
	if r.sees() {
		n.latency = bounded(r.Latency.Latency) * time.Duration(100+r.set.margin) / 100
		n.residual = bounded(r.Latency.Residual)
	}
	return n
}

// shutdown is what a process gets after SIGTERM.
type shutdown struct {
	// seconds that count: given, else learned, else the own grace.
	seconds int64
	known   bool // given or learned
	given   bool
	// learned from drains, and trusted: for the status.
	learned *int32
	// killed: it is the own grace because processes were killed.
	killed bool
}

func (r *round) findShutdown() (shutdown, peaks) {
	learned, told := r.learnedShutdown()
	s := shutdown{seconds: r.own, learned: learned, killed: learned == nil && r.drains.killed}
	switch {
	case r.set.shutdown != nil:
		s.seconds, s.known, s.given = *r.set.shutdown, true, true
	case learned != nil:
		s.seconds, s.known = int64(*learned), true
	}
	return s, told
}

// learnedShutdown is the longest that enough drains told. Once learned it
// stands, a longer one takes its place at once, and a shorter one after the
// stabilization window, through all of which enough drains must have told it.
// Where processes were killed nothing is believed that is shorter than the own
// grace.
func (r *round) learnedShutdown() (*int32, peaks) {
	was := r.was.ShutdownSeconds
	told := r.drains.shutdown
	if r.drains.shutdowns < enoughShutdowns {
		if was == nil {
			return nil, nil
		}
		told = max(told, int64(*was))
	}
	history := r.history.shutdown
	if len(history) == 0 && was != nil {
		history = peaks{{at: r.Now, seconds: int64(*was)}}
	}
	history = history.add(r.Now, told, r.set.stabilization)
	longest := history[0].seconds
	if r.drains.killed && longest < r.own {
		return nil, nil
	}
	return ptr.To(int32(longest)), history //nolint:gosec // at most mostSeconds, or what the status says
}
