package waiting

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// A single probe that fails proves nothing; and a lenient threshold must
	// not hold a dead container for long.
	leastAliveFailures = 2
	mostAliveFailures  = 10

	// alivePeriod is the longest time between two of the agent's own probes.
	alivePeriod = time.Second
)

// alive tells a restart of a dead container from a drain: both run the hook.
// One success ends the question for good: only a container that never answers
// is dead, and a busy one that answers now and then is not.
type alive struct {
	next     time.Duration
	period   time.Duration
	failures int
	limit    int
}

func newAlive(p *hold.Probe) alive {
	if p == nil || p.GRPC {
		return alive{next: Never}
	}
	return alive{
		period: min(seconds(max(1, p.PeriodSeconds)), alivePeriod),
		limit:  int(min(max(p.FailureThreshold, leastAliveFailures), mostAliveFailures)),
	}
}

// Probed takes the result of a liveness probe of the agent's own.
func (h *Hold) Probed(at time.Duration, ok bool) {
	a := &h.alive
	if ok {
		a.next, a.failures = Never, 0
		return
	}
	a.failures++
	a.next = max(at, a.next+a.period) // a period from its start, as the kubelet's
}

func (a *alive) dead() bool { return a.limit > 0 && a.failures >= a.limit }
