package observe

import (
	"math"
	"slices"

	"github.com/drain-operator/drain-operator/internal/latency"
)

// since returns the requests that came between two looks at the counters of one
// pod. Where any counter is lower than before, the process has begun anew, and
// all that it has counted came since. Bounds that are gone were put together
// with the next larger one, as native histograms do when they grow.
func since(was, is latency.Histogram) latency.Histogram {
	grown := latency.Histogram{Buckets: slices.Clone(is.Buckets), SumSeconds: is.SumSeconds - was.SumSeconds, SlackSeconds: is.SlackSeconds}
	at := 0
	for _, b := range was.Buckets {
		for at < len(grown.Buckets) && grown.Buckets[at].UpperBound < b.UpperBound {
			at++
		}
		if at == len(grown.Buckets) {
			if b.Count > 0 {
				return is
			}
			continue
		}
		grown.Buckets[at].Count -= b.Count
	}
	for i, b := range grown.Buckets {
		// What is added up in another order differs in its last digits.
		if b.Count < -1e-9*is.Buckets[i].Count || b.Count < 0 && is.Buckets[i].Count == 0 {
			return is
		}
		grown.Buckets[i].Count = max(0, b.Count)
	}
	if grown.SumSeconds < 0 {
		grown.SumSeconds = math.NaN()
	}
	if slices.EqualFunc(was.Buckets, is.Buckets, sameBound) {
		grown.SlackSeconds = max(0, is.SlackSeconds-was.SlackSeconds)
	}
	return grown
}
