package latency

import (
	"math"
	"slices"
)

// Merge returns the requests of both. Their layouts may differ: each request
// stays in a bucket of the bound that it had, or comes into one of a larger
// bound where there are more than MaxBuckets.
func Merge(a, b Histogram) Histogram {
	if len(a.Buckets) == 0 {
		a, b = b, a
	}
	merged := Histogram{SumSeconds: known(a) + known(b), SlackSeconds: a.SlackSeconds + b.SlackSeconds}
	switch {
	case len(b.Buckets) == 0:
		merged.Buckets = tight(reduce(slices.Clone(a.Buckets)))
	case sameBounds(a.Buckets, b.Buckets):
		merged.Buckets = slices.Clone(a.Buckets)
		for i := range b.Buckets {
			merged.Buckets[i].Count += b.Buckets[i].Count
		}
	default:
		all := union(a.Buckets, b.Buckets)
		merged.SlackSeconds += max(0, least(all)-least(a.Buckets)-least(b.Buckets))
		merged.Buckets = tight(reduce(all))
	}
	return merged
}

// known is the sum of the requests; that of none is known whatever it says.
func known(h Histogram) float64 {
	if math.IsNaN(h.SumSeconds) && h.Count() == 0 {
		return 0
	}
	return h.SumSeconds
}

func sameBounds(a, b []Bucket) bool {
	return slices.EqualFunc(a, b, func(x, y Bucket) bool { return x.UpperBound == y.UpperBound })
}

func union(a, b []Bucket) []Bucket {
	all := make([]Bucket, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].UpperBound < b[0].UpperBound:
			all, a = append(all, a[0]), a[1:]
		case a[0].UpperBound > b[0].UpperBound:
			all, b = append(all, b[0]), b[1:]
		default:
			all = append(all, Bucket{a[0].UpperBound, a[0].Count + b[0].Count})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}

// least is the sum of the bounds below the requests' buckets, in seconds.
func least(buckets []Bucket) float64 {
	sum, below := 0.0, 0.0
	for _, b := range buckets {
		sum += b.Count * below
		below = b.UpperBound
	}
	return sum
}

// reduce puts neighbours together until MaxBuckets are left, and may change
// the slice that it is given. Neighbours are what falls into one cell of a
// fixed grid, 2^(1/2^resolution) wide, as in a native histogram: so what was
// reduced in several places still has bounds in common. The shortest latencies
// go first, and the grid gets no wider than it must.
func reduce(buckets []Bucket) []Bucket {
	for resolution := maxSchema; len(buckets) > MaxBuckets; resolution-- {
		buckets = thin(buckets, resolution, len(buckets)-MaxBuckets)
	}
	return buckets
}

// thin removes up to excess buckets whose next one lies in the same cell,
// which gets their requests.
func thin(buckets []Bucket, resolution, excess int) []Bucket {
	kept := buckets[:0]
	moved := 0.0
	for i, b := range buckets {
		if excess > 0 && i+1 < len(buckets) && cell(b.UpperBound, resolution) == cell(buckets[i+1].UpperBound, resolution) {
			moved += b.Count
			excess--
			continue
		}
		kept = append(kept, Bucket{b.UpperBound, b.Count + moved})
		moved = 0
	}
	return kept
}

// cell of the grid in which a bound lies: the same for those in
// (2^((k-1)/2^resolution), 2^(k/2^resolution)].
func cell(bound float64, resolution int) float64 {
	switch {
	case math.IsInf(bound, 1):
		return bound
	case bound <= 0:
		return math.Inf(-1)
	}
	// A bound of a native histogram is a little more than the power itself.
	return math.Ceil(math.Ldexp(math.Log2(bound), resolution) - 1e-6)
}

// tight lets go of an array that is much longer than what is left in it.
func tight(buckets []Bucket) []Bucket {
	if cap(buckets) <= len(buckets)+len(buckets)/8 {
		return buckets
	}
	return append(make([]Bucket, 0, len(buckets)), buckets...)
}
