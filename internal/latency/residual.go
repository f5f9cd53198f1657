package latency

import (
	"math"
	"time"
)

// Residual returns the quantile of what requests that are in flight at any one
// moment still need, never less than it is. tooCoarse: it may be longer than
// the last finite bound, which is returned.
//
// Requests that are found in flight are longer than requests at large: a
// moment falls into a request of 10 s a thousand times as often as into one of
// 10 ms (length-biased sampling, the inspection paradox). Of the one that it
// falls into, it has passed a part that is uniform over its length. So what is
// left has the density (1-F(x)) / E[L], with F the distribution of latencies L
// at large, and
//
//	P(residual > x) = E[(L-x)+] / E[L]
//
// which is what renewal theory knows as the equilibrium, or forward recurrence
// time, distribution (Cox, Renewal Theory, 1962, section 5.4; Feller, An
// Introduction to Probability Theory and Its Applications II, section XI.4).
// It holds for requests in flight whatever the arrivals are like, as long as
// they do not change with the lengths.
//
// Only buckets are known of L, and the figure must not come out too short:
//   - the numerator takes each request at its bucket's upper bound;
//   - the denominator is the exact sum where that is known and plausible, that
//     is between what buckets allow at least and at most. Else it takes each
//     request at the bound below its bucket. To round up there as well would
//     make the total look longer than it was, and with it the share of the long
//     requests smaller: too short a figure from a rounding that looks careful;
//   - requests beyond the last bound can have taken, at most, what the sum
//     leaves when all others took the least that they can have taken.
//
// The numerator is linear between bounds, so the solution is exact. With too
// little known of the denominator it is the bound of the longest request.
func (h Histogram) Residual(quantile float64) (residual time.Duration, tooCoarse bool) {
	allowed := 1 - clampQuantile(quantile)
	total, exact := h.totalSeconds()
	beyond, far := h.beyond(), 0.0
	if beyond > 0 {
		last := h.lastBound()
		if h.SlackSeconds > 0 {
			// Some of these may have been shorter than this last bound, which
			// is another histogram's. Worst is that one took all the time.
			beyond = min(beyond, 1)
		}
		far = max(total-h.leastFinite(), beyond*last)
		// Without a sum there is no telling how long these took.
		if !exact || far-beyond*last > allowed*total {
			return duration(last), true
		}
	}
	return duration(h.solve(far, beyond, allowed*total)), false
}

// ResidualOfAll returns how long it takes, with the probability quantile, until
// all requests that a pod has in flight are done. inFlight is how many it has on
// average (see InFlight).
//
// P(one or more last longer) is at most how many do on average, inFlight ×
// P(residual > x), whether or not they depend on each other; so it is the
// residual at the quantile 1 - (1-quantile)/inFlight. Below one in flight it is
// Residual itself: a pod that is mostly idle is no reason to cut more of the few.
func (h Histogram) ResidualOfAll(quantile, inFlight float64) (residual time.Duration, tooCoarse bool) {
	return h.Residual(1 - (1-clampQuantile(quantile))/max(1, inFlight))
}

// InFlight is how many of these requests a pod had in flight on average, when
// they came to so many pods in so long a while: by Little's law, the time that
// they took together divided by the time that there was. Never less than it is;
// +Inf when not even that is known.
func (h Histogram) InFlight(while time.Duration, pods int) float64 {
	total, exact := h.totalSeconds()
	if !exact {
		total = h.mostSeconds()
	}
	if total == 0 {
		return 0
	}
	return total / (while.Seconds() * float64(pods))
}

// solve returns the x, in seconds, at which all (L-x)+ come to target seconds,
// with beyond requests past the last bound that took far seconds together.
func (h Histogram) solve(far, beyond, target float64) float64 {
	seconds, requests := far, beyond
	for i := len(h.Buckets) - 1; i >= 0; i-- {
		b := h.Buckets[i]
		if math.IsInf(b.UpperBound, 1) || (b.Count == 0 && requests == 0) {
			continue
		}
		seconds += b.Count * b.UpperBound
		requests += b.Count
		below := 0.0
		if i > 0 {
			below = h.Buckets[i-1].UpperBound
		}
		// Between these two bounds, (L-x)+ come to seconds - requests × x.
		if x := (seconds - target) / requests; x >= below {
			return min(x, b.UpperBound)
		}
	}
	return 0
}

// beyond is how many requests took longer than the last bound.
func (h Histogram) beyond() float64 {
	if n := len(h.Buckets); n > 0 && math.IsInf(h.Buckets[n-1].UpperBound, 1) {
		return h.Buckets[n-1].Count
	}
	return 0
}

// leastFinite is the least that the requests up to the last bound can have
// taken together, in seconds.
func (h Histogram) leastFinite() float64 {
	finite := h.Buckets
	if h.beyond() > 0 {
		finite = finite[:len(finite)-1]
	}
	return max(0, least(finite)-h.SlackSeconds)
}

// totalSeconds is what all requests took together: the exact sum, or if that is
// not known or cannot be, the least that it was.
func (h Histogram) totalSeconds() (total float64, exact bool) {
	lowest, most := max(0, least(h.Buckets)-h.SlackSeconds), h.mostSeconds()
	// Sums and products are rounded, in another order each.
	const rounding = 1e-9
	if h.SumSeconds >= lowest*(1-rounding) && h.SumSeconds <= most*(1+rounding) {
		return h.SumSeconds, true
	}
	return lowest, false
}

// mostSeconds is the most that all requests can have taken together.
func (h Histogram) mostSeconds() float64 {
	most := 0.0
	for _, b := range h.Buckets {
		if b.Count > 0 {
			most += b.Count * b.UpperBound
		}
	}
	return most
}
