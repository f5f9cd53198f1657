package grace

import (
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// enoughPropagations and enoughShutdowns are how many drains must have
	// told them: the longest of fewer says little of the next.
	enoughPropagations = 10
	enoughShutdowns    = 5
)

// evidence is what the drains within the window told. Seconds.
type evidence struct {
	propagations int   // drains that told theirs
	propagation  int64 // the longest
	// inRotation: a drain reached its bound and was never seen out of
	// rotation. The propagations that were seen are then not the longest.
	inRotation bool

	shutdowns int
	shutdown  int64
	// killed: a grace was spent with the process still there, so that nobody
	// knows what it would have needed.
	killed bool

	// drained is how long the longest drain took that came to a good end. One
	// that stopped at its bound says nothing: a counter that leaks takes all
	// the time that there is.
	drained int64

	// late are the drains that more time would have helped, newest first.
	late []v1alpha1.DrainRecord
}

func evidenceOf(drains []v1alpha1.DrainRecord, since time.Time) evidence {
	var e evidence
	for _, d := range drains {
		if !d.EndedAt.Time.Before(since) {
			e.add(d)
		}
	}
	return e
}

func (e *evidence) add(d v1alpha1.DrainRecord) {
	if d.PropagationSeconds != nil {
		e.propagations++
		e.propagation = max(e.propagation, int64(*d.PropagationSeconds))
	} else if d.Outcome == v1alpha1.OutcomeTimedOut {
		e.inRotation = true
	}
	if d.Outcome == v1alpha1.OutcomeDrained && d.DrainSeconds != nil {
		e.drained = max(e.drained, min(int64(*d.DrainSeconds), mostSeconds))
	}
	spent := d.Outcome == v1alpha1.OutcomeForced && d.Cause == v1alpha1.CauseGraceSpent
	switch {
	case spent:
		e.killed = true
	case d.Outcome != v1alpha1.OutcomeForced && d.ShutdownSeconds != nil: // killed by a shorter grace, it was not done either
		e.shutdowns++
		e.shutdown = max(e.shutdown, min(int64(*d.ShutdownSeconds), mostSeconds))
	}
	if d.InFlightTrend == v1alpha1.TrendFalling && (spent || d.Outcome == v1alpha1.OutcomeTimedOut) {
		e.late = append(e.late, d)
	}
}
