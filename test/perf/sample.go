package perf

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Sample is a series of measured times.
type Sample []time.Duration

// Quantile is the smallest time that a share q of the sample, between 0 and 1,
// does not exceed (nearest rank): with 100 times, the 0.99 quantile is the
// second longest. It panics on an empty sample, which means nothing was measured.
func (s Sample) Quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Figure is a quantile in milliseconds.
func (s Sample) Figure(group, what string, q float64) Figure {
	return Figure{
		Group: group, What: fmt.Sprintf("%s, p%g", what, q*100),
		Value: Millis(s.Quantile(q)), Unit: "ms", Samples: len(s),
	}
}

// Longest is the longest time, in milliseconds.
func (s Sample) Longest(group, what string) Figure {
	f := s.Figure(group, what, 1)
	f.What = what + ", longest"
	return f
}

// Ratio is a quantile as a multiple of the same quantile of another sample.
func (s Sample) Ratio(to Sample, group, what string, q float64) Figure {
	return Figure{
		Group: group, What: fmt.Sprintf("%s, p%g", what, q*100),
		Value: float64(s.Quantile(q)) / float64(to.Quantile(q)), Unit: "x", Samples: len(s),
	}
}

// Millis are milliseconds with their fraction.
func Millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Median of some values, the upper one of an even number.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
