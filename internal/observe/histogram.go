package observe

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/drain-operator/drain-operator/internal/latency"
)

// histogramOf reads a series: the native histogram where it has one, which has
// the finer buckets, else the classic one.
func histogramOf(h *dto.Histogram) (latency.Histogram, error) {
	if isNative(h) {
		return latency.FromNative(nativeOf(h))
	}
	switch n := len(h.GetBucket()); {
	case n == 0:
		return latency.Histogram{}, errors.New("a series has no buckets; summaries cannot be used")
	case n > maxBounds:
		return latency.Histogram{}, fmt.Errorf("a series has %d buckets, at most %d are read", n, maxBounds)
	}
	buckets := make([]latency.Bucket, 0, len(h.GetBucket())+1)
	for _, b := range h.GetBucket() {
		buckets = append(buckets, latency.Bucket{UpperBound: b.GetUpperBound(), Count: either(b.GetCumulativeCount(), b.GetCumulativeCountFloat())})
	}
	slices.SortFunc(buckets, func(a, b latency.Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	if !math.IsInf(buckets[len(buckets)-1].UpperBound, 1) {
		// The protobuf format may leave it out.
		buckets = append(buckets, latency.Bucket{UpperBound: math.Inf(1), Count: either(h.GetSampleCount(), h.GetSampleCountFloat())})
	}
	return latency.FromCumulative(buckets, h.GetSampleSum())
}

// isNative tells a native histogram from a classic one as Prometheus does.
func isNative(h *dto.Histogram) bool {
	return len(h.GetPositiveSpan()) > 0 || len(h.GetNegativeSpan()) > 0 || h.GetZeroThreshold() > 0 || h.GetZeroCount() > 0
}

func nativeOf(h *dto.Histogram) latency.Native {
	return latency.Native{
		Schema:        h.GetSchema(),
		ZeroThreshold: h.GetZeroThreshold(),
		ZeroCount:     either(h.GetZeroCount(), h.GetZeroCountFloat()),
		Positive:      latency.Spans{Spans: spansOf(h.GetPositiveSpan()), Deltas: h.GetPositiveDelta(), Counts: h.GetPositiveCount()},
		Negative:      latency.Spans{Spans: spansOf(h.GetNegativeSpan()), Deltas: h.GetNegativeDelta(), Counts: h.GetNegativeCount()},
		Sum:           h.GetSampleSum(),
	}
}

func spansOf(spans []*dto.BucketSpan) []latency.Span {
	read := make([]latency.Span, 0, len(spans))
	for _, s := range spans {
		read = append(read, latency.Span{Offset: s.GetOffset(), Length: s.GetLength()})
	}
	return read
}

// either is the count of a histogram, whole or not.
func either(whole uint64, fraction float64) float64 {
	if fraction != 0 {
		return fraction
	}
	return float64(whole)
}
