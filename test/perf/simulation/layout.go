package simulation

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/drain-operator/drain-operator/internal/latency"
)

// layout is the histogram through which requests are seen: one of the client
// library, as a workload would have it.
type layout struct {
	name string
	opts prometheus.HistogramOpts
	read func(*dto.Histogram) (latency.Histogram, error)
}

var layouts = []layout{
	{
		"classic",
		prometheus.HistogramOpts{Buckets: append(append([]float64{}, prometheus.DefBuckets...), 30, 60)},
		classic,
	},
	{
		"native",
		prometheus.HistogramOpts{NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160},
		native,
	},
}

// observe shows the times, in seconds, to a histogram of the layout, and reads
// what it says.
func (l layout) observe(times []float64) (latency.Histogram, error) {
	opts := l.opts
	opts.Name = "http_request_duration_seconds"
	client := prometheus.NewHistogram(opts)
	for _, t := range times {
		client.Observe(t)
	}
	var m dto.Metric
	if err := client.Write(&m); err != nil {
		return latency.Histogram{}, err
	}
	return l.read(m.GetHistogram())
}

func classic(h *dto.Histogram) (latency.Histogram, error) {
	var buckets []latency.Bucket
	for _, b := range h.GetBucket() {
		buckets = append(buckets, latency.Bucket{UpperBound: b.GetUpperBound(), Count: float64(b.GetCumulativeCount())})
	}
	// In protobuf the last bucket goes without saying.
	buckets = append(buckets, latency.Bucket{UpperBound: math.Inf(1), Count: float64(h.GetSampleCount())})
	return latency.FromCumulative(buckets, h.GetSampleSum())
}

func native(h *dto.Histogram) (latency.Histogram, error) {
	positive := latency.Spans{Deltas: h.GetPositiveDelta()}
	for _, s := range h.GetPositiveSpan() {
		positive.Spans = append(positive.Spans, latency.Span{Offset: s.GetOffset(), Length: s.GetLength()})
	}
	return latency.FromNative(latency.Native{
		Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: float64(h.GetZeroCount()),
		Positive: positive, Sum: h.GetSampleSum(),
	})
}
