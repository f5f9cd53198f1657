package waiting

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
)

const (
	// costFactor bounds what looking costs: one fiftieth, 2 % of a core.
	costFactor = 50

	// Looks are this far apart, the first while the drain status is read from
	// connections: closer than a delayed acknowledgement (40 ms), which tells
	// a request from a response.
	leastTCPInterval = 20 * time.Millisecond
	leastInterval    = 100 * time.Millisecond
	mostInterval     = time.Second
)

// looks are the looks at the sockets.
type looks struct {
	least   time.Duration
	ports   []int32
	tracker inflight.Tracker
	next    time.Duration
	// failing is since when looks fail, none between having succeeded.
	failing time.Duration
	why     string

	count inflight.Count
	// calm counts looks in a row with nothing in flight.
	calm int
	// gone counts looks in a row with neither listener nor connection.
	gone int
}

func newLooks(spec hold.Spec) looks {
	l := looks{least: leastInterval, ports: spec.ServePorts, failing: Never}
	if spec.TCP != nil {
		l.least = leastTCPInterval
		l.tracker.Idle = seconds(spec.TCP.IdleSeconds)
	}
	return l
}

func (l *looks) took(at time.Duration, look inflight.Look, cost time.Duration) {
	l.failing = Never
	l.count = l.tracker.Observe(at, look, l.ports)
	l.calm++
	if l.count.InFlight > 0 {
		l.calm = 0
	}
	l.gone++
	if len(l.ports) == 0 || len(look.Listening(l.ports)) > 0 || used(look, l.ports) {
		l.gone = 0
	}
	l.next = at + l.pause(at, cost)
}

// pause is the time until the next look. Two looks do not wait for what the one
// before has cost, since they are few and a pod's end hangs on them: the one at
// which everything may have aged, and the second of two that must agree.
func (l *looks) pause(at, cost time.Duration) time.Duration {
	pause := min(max(cost*costFactor, l.least), mostInterval)
	switch {
	case l.calm == 1:
		return l.least
	case l.count.Calm > at:
		return min(pause, l.count.Calm-at)
	}
	return pause
}

func (l *looks) failed(at time.Duration, why string) {
	l.next, l.why = at+leastInterval, why
	l.failing = min(l.failing, at)
	l.calm, l.gone = 0, 0
}

// stale says that looks have failed for too long. One that was not taken, since
// the machine has too much to do, has not failed: it is taken first.
func (l *looks) stale(at time.Duration) bool { return at-l.failing > staleAfter }

// used says whether the app still holds a connection on one of the ports.
func used(look inflight.Look, ports []int32) bool {
	for _, c := range look.Conns {
		if c.State != inflight.WeClosed && inflight.Serves(ports, c.Local.Port()) {
			return true
		}
	}
	return false
}
