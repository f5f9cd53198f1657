// Package latency keeps how long requests took: mergeable, within a window, in
// memory that does not grow with traffic. Its figures are never optimistic. It
// is pure.
package latency

import (
	"math"
	"time"
)

// MaxBuckets is how many buckets a histogram that this package returns has at
// most. Where there are more, neighbours are put together under the larger of
// their bounds, the shortest latencies first.
const MaxBuckets = 160

// Bucket counts the requests that took longer than the bucket below it, and at
// most UpperBound.
type Bucket struct {
	// UpperBound in seconds; +Inf for what is beyond the last bound.
	UpperBound float64
	// Count of requests in this bucket alone. It may be a fraction: rates that
	// Prometheus extrapolates are.
	Count float64
}

// Histogram counts requests by how long they took. The zero value is that of
// no requests. Those from outside are made by FromCumulative, FromCounts and
// FromNative, which check them; nothing else here does.
type Histogram struct {
	// Buckets by ascending bound, each bound once.
	Buckets []Bucket
	// SumSeconds of all requests; NaN when it is not known.
	SumSeconds float64
	// SlackSeconds is by how much, in all, requests may have been shorter than
	// the bounds below their buckets: those bounds may come from another
	// histogram that was merged. 0 unless layouts were mixed.
	SlackSeconds float64
}

// Summary is what is known of the latency of requests.
type Summary struct {
	// Requests that were looked at.
	Requests int64
	// RequestsUnknown says that Latency is somebody else's figure, and on how
	// many requests it stands was not told.
	RequestsUnknown bool
	// Latency is the percentile asked for: the upper bound of its bucket.
	Latency time.Duration
	// Residual is how long it takes, at the same percentile, until all requests
	// that a pod has in flight at some moment are done. 0 where only a value was
	// to be had.
	Residual time.Duration
	// InFlight is how many these are on average; 0 where that is not known.
	InFlight float64
	// TooCoarse says that the percentile lies beyond the last bound: both
	// figures are unknown, and Latency is that bound, which is exceeded.
	TooCoarse bool
	// ResidualTooCoarse says that Residual may lie beyond the last bound,
	// which Residual is then: too much of the time is spent in requests that
	// took longer than that. It comes with TooCoarse, and without it.
	ResidualTooCoarse bool
	// Since is how far back the requests go, At when they were looked at.
	Since, At time.Time
	// Workloads whose pods gave the requests, sorted; nil where that is not known.
	Workloads []string
}

// Count is the number of requests; it may be a fraction.
func (h Histogram) Count() float64 {
	var n float64
	for _, b := range h.Buckets {
		n += b.Count
	}
	return n
}

// Scale multiplies all times by factor, which is finite and above 0: 0.001 for
// a histogram whose values are milliseconds.
func (h Histogram) Scale(factor float64) Histogram {
	scaled := Histogram{
		Buckets:    make([]Bucket, len(h.Buckets)),
		SumSeconds: h.SumSeconds * factor, SlackSeconds: h.SlackSeconds * factor,
	}
	for i, b := range h.Buckets {
		scaled.Buckets[i] = Bucket{b.UpperBound * factor, b.Count}
	}
	return scaled
}

// duration rounds seconds up to the nanosecond, and down to the longest
// Duration (292 years).
func duration(seconds float64) time.Duration {
	ns := math.Ceil(seconds * float64(time.Second))
	if ns >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(ns)
}
