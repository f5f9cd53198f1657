package latency

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	// maxCount is the largest number up to which a float64 counts one by one.
	maxCount = 1 << 53
	// farSeconds is the longest bound that is told from +Inf: some 30 years.
	farSeconds = 1e9
	// jitter is by how much of the total a cumulative count may fall below the
	// one before it: rates that are added up differ in their last digits.
	// Prometheus overlooks the same (histogram_quantile, since 2.43).
	jitter = 1e-9
)

// FromCumulative makes a Histogram of the buckets of a classic histogram of
// Prometheus, in which each Count includes the buckets below (le). There is a
// bucket +Inf, bounds are ascending and not negative, counts are finite, not
// negative and not falling; everything else is an error that names the bucket.
// A sum that cannot be a time (NaN, infinite, negative) is taken as not known.
func FromCumulative(buckets []Bucket, sum float64) (Histogram, error) {
	if len(buckets) == 0 {
		return Histogram{}, errors.New("the histogram has no buckets")
	}
	last := buckets[len(buckets)-1]
	for i, b := range buckets {
		if err := checkBucket(b); err != nil {
			return Histogram{}, err
		}
		if b.UpperBound < 0 {
			return Histogram{}, fmt.Errorf("bound %v is negative: no request took less than no time", b.UpperBound)
		}
		if i == 0 {
			continue
		}
		below := buckets[i-1]
		if b.UpperBound <= below.UpperBound {
			return Histogram{}, fmt.Errorf("bounds are not ascending: %v after %v", b.UpperBound, below.UpperBound)
		}
		if b.Count < below.Count-jitter*last.Count {
			return Histogram{}, fmt.Errorf("counts are not cumulative: %v up to bound %v, after %v up to %v",
				b.Count, b.UpperBound, below.Count, below.UpperBound)
		}
	}
	if !math.IsInf(last.UpperBound, 1) {
		return Histogram{}, fmt.Errorf("there is no bucket +Inf, and what took longer than %v is not known", last.UpperBound)
	}
	return newHistogram(alone(buckets), sum), nil
}

// FromCounts makes a Histogram of buckets that each count their own requests
// alone, in any order, such as the ones that Prometheus answers for a native
// histogram: bounds that come twice are added up, negative ones count as 0.
// Bounds that are no number are an error, and so are counts that are not
// finite, negative or too large. A sum that cannot be a time (NaN, infinite,
// negative) is taken as not known.
func FromCounts(buckets []Bucket, sum float64) (Histogram, error) {
	sorted := slices.Clone(buckets)
	for i, b := range sorted {
		if err := checkBucket(b); err != nil {
			return Histogram{}, err
		}
		sorted[i].UpperBound = max(0, b.UpperBound)
	}
	slices.SortFunc(sorted, func(a, b Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	return newHistogram(sorted, sum), nil
}

func checkBucket(b Bucket) error {
	switch {
	case math.IsNaN(b.UpperBound):
		return errors.New("a bound is not a number")
	case math.IsNaN(b.Count), math.IsInf(b.Count, 0):
		return fmt.Errorf("the count %v of bound %v is not a finite number", b.Count, b.UpperBound)
	case b.Count < 0:
		return fmt.Errorf("the count %v of bound %v is negative", b.Count, b.UpperBound)
	case b.Count > maxCount:
		return fmt.Errorf("the count %v of bound %v is beyond 2^53", b.Count, b.UpperBound)
	}
	return nil
}

// alone turns cumulative counts into those of each bucket. A count that is a
// little less than the one below it takes from that one: so the request is
// counted at the larger bound.
func alone(cumulative []Bucket) []Bucket {
	buckets := slices.Clone(cumulative)
	for i := len(buckets) - 2; i >= 0; i-- {
		buckets[i].Count = min(buckets[i].Count, buckets[i+1].Count)
	}
	for i := len(buckets) - 1; i > 0; i-- {
		buckets[i].Count -= buckets[i-1].Count
	}
	return buckets
}

// newHistogram of sorted buckets: equal bounds become one, those too far away
// become +Inf, and there are at most MaxBuckets.
func newHistogram(sorted []Bucket, sum float64) Histogram {
	one := sorted[:0]
	for _, b := range sorted {
		if b.UpperBound > farSeconds {
			b.UpperBound = math.Inf(1)
		}
		if n := len(one); n > 0 && one[n-1].UpperBound == b.UpperBound {
			one[n-1].Count += b.Count
			continue
		}
		one = append(one, b)
	}
	if !(sum >= 0) || math.IsInf(sum, 1) {
		sum = math.NaN()
	}
	return Histogram{Buckets: tight(reduce(one)), SumSeconds: sum}
}
