package waiting

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// maxSpans bounds what is kept of a hold, however long; once there would
	// be more, two neighbours become one. The later half of a hold has thus at
	// least eight, as far as there are readings.
	maxSpans = 32

	// leastSpan is how long a span is at first: longer than a probe or a
	// scrape, which count while they last, takes as a rule.
	leastSpan = 250 * time.Millisecond

	// clearFall is how much larger a fall must be than the rises on the way:
	// a number that goes up and down around its mean also ends lower than it
	// was half of the time.
	clearFall = 4

	// mostInFlight keeps sums from overflowing whatever an endpoint says.
	mostInFlight = 1 << 40
)

// trend keeps how many were in flight since the pod is out of rotation.
type trend struct {
	// began is when the pod was out of rotation.
	began time.Duration
	width time.Duration
	spans []span
}

// span is the lowest number within one span of time: what probes add for a
// moment is not in it. Spans without a reading are left out.
type span struct {
	index int
	low   int64
}

// took takes a reading of how many are in flight.
func (t *trend) took(at time.Duration, inFlight int64) {
	if t.width == 0 {
		t.width = leastSpan
	}
	for (at-t.began)/t.width >= maxSpans {
		t.halve()
	}
	t.add(span{int((at - t.began) / t.width), min(inFlight, mostInFlight)})
}

func (t *trend) add(s span) {
	if n := len(t.spans); n > 0 && t.spans[n-1].index == s.index {
		t.spans[n-1].low = min(t.spans[n-1].low, s.low)
		return
	}
	t.spans = append(t.spans, s)
}

// halve makes one span of every two.
func (t *trend) halve() {
	old := t.spans
	t.width *= 2
	t.spans = old[:0]
	for _, s := range old {
		t.add(span{s.index / 2, s.low})
	}
}

// verdict says how it went until a time: whether more of it would have helped.
//
// It was falling when, in the later half of the time since the pod is out of
// rotation, the number fell by at least clearFall times what it rose on the
// way, to less than it ever was in the earlier half. So it is steady with a
// counter that leaks, once the genuine requests have ended; with new work that
// keeps coming; and with one request that takes all the time, which looks like
// a leak. Empty when the later half has fewer than two readings to compare.
func (t *trend) verdict(at time.Duration) string {
	half := (at - t.began) / 2
	later := 0
	for later < len(t.spans) && time.Duration(t.spans[later].index)*t.width < half {
		later++
	}
	if len(t.spans)-later < 2 {
		return ""
	}
	first, last := t.spans[later], t.spans[len(t.spans)-1]
	fall := first.low - last.low
	if fall <= 0 || rises(t.spans[later:]) > fall/clearFall || !below(last.low, t.spans[:later]) {
		return hold.TrendSteady
	}
	return hold.TrendFalling
}

// rises is by how much the number rose in all.
func rises(spans []span) int64 {
	var sum int64
	for i := 1; i < len(spans); i++ {
		sum += max(0, spans[i].low-spans[i-1].low)
	}
	return sum
}

func below(n int64, spans []span) bool {
	for _, s := range spans {
		if n >= s.low {
			return false
		}
	}
	return true
}
