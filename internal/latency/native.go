package latency

import (
	"errors"
	"fmt"
	"math"
)

// CustomBounds is the schema of native histograms whose bounds are listed.
const CustomBounds = -53

const minSchema, maxSchema = -4, 8

// Span of consecutive buckets: Offset is the gap to the span before, or for
// the first the index of its first bucket.
type Span struct {
	Offset int32
	Length uint32
}

// Spans are the populated buckets of one side of a native histogram: their
// counts either as Deltas, each the difference to the bucket before, as
// integer histograms have it, or as Counts. One of both is set.
type Spans struct {
	Spans  []Span
	Deltas []int64
	Counts []float64
}

// Native is a native histogram as Prometheus' protobuf exposition has it
// (io.prometheus.client.Histogram).
type Native struct {
	// Schema is the resolution: -4 to 8, each bound being 2^(2^-Schema) times
	// the one before; or CustomBounds.
	Schema int32
	// ZeroThreshold is the bound of the zero bucket, ZeroCount what is in it.
	ZeroThreshold, ZeroCount float64
	// Positive and Negative buckets. A negative time counts as none.
	Positive, Negative Spans
	// Bounds, ascending, for the schema CustomBounds; the bucket after the
	// last one is that of +Inf.
	Bounds []float64
	// Sum of all observations, NaN when it is not known.
	Sum float64
}

// FromNative makes a Histogram of a native one. Spans whose lengths do not
// match their counts, a schema that is not known, and counts that are negative,
// not finite or too large are errors. Observations that were no number are in
// no bucket, and do not count.
//
// Source: the specification of native histograms,
// https://prometheus.io/docs/specs/native_histograms/.
func FromNative(n Native) (Histogram, error) {
	if n.Schema != CustomBounds && (n.Schema < minSchema || n.Schema > maxSchema) {
		return Histogram{}, fmt.Errorf("schema %d of the native histogram is not known", n.Schema)
	}
	if !(n.ZeroThreshold >= 0) {
		return Histogram{}, fmt.Errorf("the zero bucket's bound %v is not a positive number", n.ZeroThreshold)
	}
	var buckets []Bucket
	if n.ZeroCount != 0 {
		buckets = append(buckets, Bucket{n.ZeroThreshold, n.ZeroCount})
	}
	negative, err := n.Negative.each(func(int64) (float64, error) { return 0, nil })
	if err != nil {
		return Histogram{}, fmt.Errorf("negative buckets: %w", err)
	}
	positive, err := n.Positive.each(n.bound)
	if err != nil {
		return Histogram{}, fmt.Errorf("positive buckets: %w", err)
	}
	return FromCounts(append(append(buckets, negative...), positive...), n.Sum)
}

func (n Native) bound(index int64) (float64, error) {
	switch {
	case n.Schema != CustomBounds:
		return NativeBound(n.Schema, index), nil
	case index == int64(len(n.Bounds)):
		return math.Inf(1), nil
	case index < 0 || index > int64(len(n.Bounds)):
		return 0, fmt.Errorf("bucket %d, where %d bounds are given", index, len(n.Bounds))
	case index > 0 && !(n.Bounds[index] > n.Bounds[index-1]):
		return 0, fmt.Errorf("bounds are not ascending: %v after %v", n.Bounds[index], n.Bounds[index-1])
	}
	return n.Bounds[index], nil
}

// NativeBound is the upper bound of a bucket of a native histogram, -4 <=
// schema <= 8: 2^(index / 2^schema). Rounding is upward: the bounds of the
// clients' tables may differ in the last digit.
func NativeBound(schema int32, index int64) float64 {
	// Beyond these a float64 is 0 or +Inf anyway.
	const most = 1 << 20
	index = min(max(index, -most), most)
	if schema <= 0 {
		return math.Ldexp(1, int(index<<-schema))
	}
	perDoubling := int64(1) << schema
	fraction := index & (perDoubling - 1)
	bound := math.Ldexp(math.Exp2(float64(fraction)/float64(perDoubling)), int(index>>schema))
	if fraction != 0 {
		bound = math.Nextafter(bound, math.Inf(1))
	}
	return bound
}

// each populated bucket, with the bound that its index has.
func (s Spans) each(bound func(index int64) (float64, error)) ([]Bucket, error) {
	counts, err := s.counts()
	if err != nil {
		return nil, err
	}
	buckets := make([]Bucket, 0, len(counts))
	index := int64(0)
	for i, span := range s.Spans {
		if i > 0 && span.Offset < 0 {
			return nil, fmt.Errorf("span %d begins before the end of the one before it", i)
		}
		index += int64(span.Offset)
		if int64(span.Length) > int64(len(counts)-len(buckets)) {
			return nil, fmt.Errorf("the spans have more than the %d buckets that are counted", len(counts))
		}
		for range span.Length {
			upper, err := bound(index)
			if err != nil {
				return nil, err
			}
			buckets = append(buckets, Bucket{upper, counts[len(buckets)]})
			index++
		}
	}
	if len(buckets) != len(counts) {
		return nil, fmt.Errorf("%d buckets are counted, and the spans have %d", len(counts), len(buckets))
	}
	return buckets, nil
}

func (s Spans) counts() ([]float64, error) {
	if len(s.Deltas) == 0 {
		return s.Counts, nil
	}
	if len(s.Counts) > 0 {
		return nil, errors.New("counts are given twice, as such and as deltas")
	}
	counts := make([]float64, len(s.Deltas))
	count := 0.0
	for i, d := range s.Deltas {
		count += float64(d)
		counts[i] = count
	}
	return counts, nil
}
