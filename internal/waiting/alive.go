package waiting

import (
	"cmp"
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

	// promptly is how soon an answer comes that does not wait for anything. A
	// command that fails later may have waited for the container in vain.
	promptly = time.Second

	// The kubelet's defaults.
	periodSeconds    = 10
	failureThreshold = 3
)

// ProbeResult is what a liveness probe came to.
type ProbeResult int

const (
	// ProbeAnswered says that the container lives.
	ProbeAnswered ProbeResult = iota
	// ProbeFailed says that nobody listens, or that the answer is a failure.
	ProbeFailed
	// ProbeSilent says that there was no answer: the container is dead, or
	// too busy.
	ProbeSilent
)

// alive tells a restart of a dead container from a drain: both run the hook.
// One success ends the question for good: only a container that never answers
// is dead, and a busy one that answers now and then is not. One that says
// nothing at all is dead when it has said nothing for as long as the kubelet
// would wait, since a busy one says nothing either.
type alive struct {
	next   time.Duration
	period time.Duration
	// failures are all, failed those that were told promptly.
	failures, failed int
	limit            int
	// failing is when the first probe that failed began, silence how long
	// there was nothing but failures since.
	failing, silence, patience time.Duration
}

func newAlive(p *hold.Probe) alive {
	if p == nil || p.GRPC {
		return alive{next: Never}
	}
	return alive{
		period:   min(seconds(max(1, p.PeriodSeconds)), alivePeriod),
		limit:    int(min(max(p.FailureThreshold, leastAliveFailures), mostAliveFailures)),
		patience: patience(p),
	}
}

// patience is how long a container says nothing before the kubelet gives it up.
func patience(p *hold.Probe) time.Duration {
	n := int64(cmp.Or(p.PeriodSeconds, periodSeconds)) * int64(cmp.Or(p.FailureThreshold, failureThreshold))
	return time.Duration(min(n, int64(Never/time.Second))) * time.Second
}

// Probed takes the result of a liveness probe of the agent's own, which ended
// at a time and took so long.
func (h *Hold) Probed(at, took time.Duration, result ProbeResult) {
	a := &h.alive
	if result == ProbeAnswered {
		*a = alive{next: Never}
		return
	}
	if a.failures == 0 {
		a.failing = at - took
	}
	a.failures++
	if result == ProbeFailed && took < promptly {
		a.failed++
	}
	a.silence = at - a.failing
	a.next = max(at, at-took+a.period) // a period from its start, as the kubelet's
}

func (a *alive) dead() bool {
	return a.limit > 0 && (a.failed >= a.limit || a.failures >= leastAliveFailures && a.silence >= a.patience)
}
