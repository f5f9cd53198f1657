// Package latency keeps how long requests took: mergeable, within a window, in
// memory that does not grow with traffic. Its figures are never optimistic. It
// is pure.
package latency

import "time"

// Bucket counts the requests that took longer than the bucket below it, and at
// most UpperBound.
type Bucket struct {
	// UpperBound in seconds; +Inf for what is beyond the last bound.
	UpperBound float64
	// Count of requests in this bucket alone. It may be a fraction: rates that
	// Prometheus extrapolates are.
	Count float64
}

// Histogram counts requests by how long they took.
type Histogram struct {
	// Buckets by ascending bound, each bound once.
	Buckets []Bucket
	// SumSeconds of all requests; NaN when it is not known.
	SumSeconds float64
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
	// Residual is the same percentile of what requests in flight at any
	// moment still need. 0 where only a value was to be had.
	Residual time.Duration
	// TooCoarse says that the percentile lies beyond the last bound: both
	// figures are unknown, and longer than that bound, which Latency is.
	TooCoarse bool
	// Since is how far back the requests go, At when they were looked at.
	Since, At time.Time
}
