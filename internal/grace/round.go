package grace

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// A term is what is kept stable: hold and shutdown together, or the hold alone
// where the shutdown is not known, since then each pod adds its own grace.
// Seconds, not yet clamped, so that an edit of the bounds acts at once.

// wanted is the term that measurements ask for now.
func (r *round) wanted() int64 {
	if r.Latency.TooCoarse {
		return mostSeconds
	}
	hold := r.need.hold()
	if r.shutdown.known {
		hold += seconds(r.shutdown.seconds)
	}
	return min(max(onGrid(hold), r.floor()), mostSeconds)
}

// floor is the term below which too few requests speak for going: the own
// grace. Where the shutdown is not known, no pod gets less in any case.
func (r *round) floor() int64 {
	if !r.shutdown.known || r.Latency.RequestsUnknown || r.Latency.Requests >= RequestsToShorten {
		return 0
	}
	return r.own
}

// unmeasuredTerm is the term of a pod without measurements: what requests in
// flight get today, its own grace, is the budget.
func (r *round) unmeasuredTerm() int64 {
	term := r.set.propagationMax + r.set.notice + r.own
	if r.shutdown.known {
		term += r.shutdown.seconds
	}
	return term
}

// standing is the term that the status says, 0 when it says none. Where the
// shutdown became longer, it is longer by that; where it has only just become
// known, the hold keeps what pods had for it.
func (r *round) standing() int64 {
	switch {
	case r.was.HoldSeconds == nil && r.was.RecommendedSeconds == 0:
		return 0
	case r.was.HoldSeconds == nil:
		return min(r.unmeasuredTerm(), mostSeconds)
	case !r.shutdown.known && r.was.ShutdownSeconds != nil: // it was known, and longer than the own grace
		return max(int64(*r.was.HoldSeconds), int64(r.was.RecommendedSeconds)-r.own)
	case !r.shutdown.known:
		return int64(*r.was.HoldSeconds)
	}
	term := int64(r.was.RecommendedSeconds)
	if needed := int64(*r.was.HoldSeconds) + r.shutdown.seconds; needed > term {
		return onGrid(seconds(needed))
	}
	return term
}

// measured: raised at once, lowered to the highest of the stabilization window.
func (r *round) measured() {
	standing, wanted := r.standing(), r.wanted()
	if r.Latency.RequestsUnknown {
		wanted = max(wanted, standing)
	}
	if standing > 0 && (len(r.history.terms) == 0 || r.history.known != r.shutdown.known) {
		r.history.terms = peaks{{at: r.Now, seconds: standing}}
	}
	wanted = r.react(standing, wanted)
	r.history.terms = r.history.terms.add(r.Now, wanted, r.set.stabilization)
	highest := r.history.terms[0]
	until := highest.at.Add(r.set.stabilization)
	if held := r.raisedUntil(); standing > highest.seconds && r.Now.Before(held) {
		highest.seconds, until = standing, held
	}
	r.recommend(highest.seconds)
	r.status.MeasuredWorkloads = r.workloads()
	r.status.Reason = r.measuredReason(until)
}

// stays: without enough measurements, what was recommended stands, and only
// drains may raise it. Lowering starts anew when they are back.
func (r *round) stays() {
	standing := r.standing()
	term := r.react(standing, standing)
	r.history.terms = peaks{{at: r.Now, seconds: term}}
	r.recommend(term)
	if r.set.pages {
		r.status.MeasuredWorkloads = r.was.MeasuredWorkloads
	}
	r.status.Reason = r.staysReason()
}

// unmeasured: the plan's own formula for pods of the longest own grace.
func (r *round) unmeasured() {
	r.history.terms = peaks{{at: r.Now, seconds: min(r.unmeasuredTerm(), mostSeconds)}}
	sum, grace := r.unmeasuredGrace()
	r.status.RecommendedSeconds = int32(grace) //nolint:gosec // bounded by maxReasonableSeconds
	r.status.Reason = r.unmeasuredReason(sum)
}

// unmeasuredGrace is the grace of a pod without measurements: as the sum of
// its parts, and as bounded. Never below its own.
func (r *round) unmeasuredGrace() (sum, grace int64) {
	sum = r.unmeasuredTerm()
	if !r.shutdown.known {
		sum += r.own
	}
	return sum, max(r.set.clamp(sum), r.own)
}

// recommend puts a term into the status.
func (r *round) recommend(term int64) {
	hold, grace := r.split(term)
	r.status.HoldSeconds = ptr.To(int32(hold)) //nolint:gosec // at most mostSeconds
	r.status.RecommendedSeconds = int32(grace) //nolint:gosec // likewise
}

// split works out from a term the hold, and the grace of a pod with the
// longest own grace. The hold carries what rounding and minSeconds add. Where
// maxSeconds leaves too little for the hold and a learned shutdown, the hold
// keeps half: with nothing left for requests in flight, all would be cut.
func (r *round) split(term int64) (hold, grace int64) {
	if !r.shutdown.known {
		hold = min(term, r.set.max)
		return hold, r.within(hold + r.own)
	}
	grace = r.within(term)
	hold = grace - r.shutdown.seconds
	if grace < term && !r.shutdown.given {
		hold = max(hold, grace/2)
	}
	return max(hold, 0), grace
}

// slackSeconds is by how much a drain that used its hold up may seem shorter
// than it: timestamps of whole seconds, and the 2 s that the kubelet leaves.
const slackSeconds = 3

// within bounds a grace. Where the shutdown is the pod's own grace, since it is
// not known, no pod gets less than that.
func (r *round) within(grace int64) int64 {
	grace = r.set.clamp(grace)
	if !r.shutdown.known {
		grace = max(grace, r.own)
	}
	return grace
}

// react raises the term by one step when a drain ended late that more time
// would have helped: once per window. A drain that took less than the hold that
// stands had an older, shorter one, or one that maxHoldSeconds bounds.
func (r *round) react(standing, wanted int64) int64 {
	if r.was.HoldSeconds == nil || r.Now.Before(r.raisedUntil()) {
		return wanted
	}
	next := (standing/stepSeconds + 1) * stepSeconds
	_, before := r.split(standing)
	if _, after := r.split(next); after <= before {
		return wanted
	}
	for _, d := range r.drains.late {
		newer := r.was.RaisedAt == nil || d.EndedAt.After(r.was.RaisedAt.Time)
		ofToday := d.DurationSeconds == 0 || d.DurationSeconds+slackSeconds >= *r.was.HoldSeconds
		if newer && ofToday {
			r.status.RaisedAt = ptr.To(metav1.NewTime(r.Now))
			return max(wanted, next)
		}
	}
	return wanted
}

// raisedUntil is until when nothing is lowered, and no step is taken, because
// a drain raised it; zero when none did, or a clock that was ahead says so.
func (r *round) raisedUntil() time.Time {
	if r.status.RaisedAt == nil || r.status.RaisedAt.After(r.Now) {
		return time.Time{}
	}
	return r.status.RaisedAt.Add(r.set.window)
}
