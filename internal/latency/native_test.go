package latency

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestFromNative(t *testing.T) {
	nan := math.NaN()
	cases := map[string]struct {
		native Native
		want   Histogram
		err    string
	}{
		"deltas, a gap and a zero bucket": {
			native: Native{
				ZeroThreshold: 0.001, ZeroCount: 2, Sum: 40,
				Positive: Spans{Spans: []Span{{-1, 2}, {2, 1}}, Deltas: []int64{3, -2, 4}},
			},
			want: Histogram{Buckets: []Bucket{{0.001, 2}, {0.5, 3}, {1, 1}, {8, 5}}, SumSeconds: 40},
		},
		"counts of a histogram of fractions": {
			native: Native{Schema: -1, Sum: nan, Positive: Spans{Spans: []Span{{0, 2}}, Counts: []float64{1.5, 2.5}}},
			want:   Histogram{Buckets: []Bucket{{1, 1.5}, {4, 2.5}}, SumSeconds: nan},
		},
		"negative times are none": {
			native: Native{Negative: Spans{Spans: []Span{{5, 1}}, Deltas: []int64{3}}, ZeroCount: 1},
			want:   Histogram{Buckets: []Bucket{{0, 4}}},
		},
		"a time beyond any": {
			native: Native{Schema: -4, Positive: Spans{Spans: []Span{{math.MaxInt32, 1}}, Deltas: []int64{3}}},
			want:   Histogram{Buckets: []Bucket{{inf, 3}}},
		},
		"bounds that are listed": {
			native: Native{
				Schema: CustomBounds, Bounds: []float64{0.1, 1, 5}, Sum: 20,
				Positive: Spans{Spans: []Span{{0, 1}, {1, 2}}, Deltas: []int64{3, 0, -1}},
			},
			want: Histogram{Buckets: []Bucket{{0.1, 3}, {5, 3}, {inf, 2}}, SumSeconds: 20},
		},
		"empty": {want: Histogram{}},
		"more buckets than bounds": {
			native: Native{Schema: CustomBounds, Bounds: []float64{1}, Positive: Spans{Spans: []Span{{2, 1}}, Deltas: []int64{3}}},
			err:    "bucket 2, where 1 bounds are given",
		},
		"listed bounds that fall": {
			native: Native{Schema: CustomBounds, Bounds: []float64{1, 0.5}, Positive: Spans{Spans: []Span{{1, 1}}, Deltas: []int64{3}}},
			err:    "bounds are not ascending",
		},
		"schema": {native: Native{Schema: 9}, err: "schema 9"},
		"spans of four billion buckets": {
			native: Native{Positive: Spans{Spans: []Span{{0, math.MaxUint32}}, Deltas: []int64{3}}},
			err:    "more than the 1 buckets",
		},
		"counts without spans": {native: Native{Positive: Spans{Deltas: []int64{3}}}, err: "1 buckets are counted, and the spans have 0"},
		"spans that overlap": {
			native: Native{Positive: Spans{Spans: []Span{{0, 1}, {-1, 1}}, Deltas: []int64{3, 0}}},
			err:    "begins before the end",
		},
		"deltas to below nothing": {
			native: Native{Positive: Spans{Spans: []Span{{0, 2}}, Deltas: []int64{3, -4}}},
			err:    "negative",
		},
		"deltas and counts": {
			native: Native{Positive: Spans{Spans: []Span{{0, 1}}, Deltas: []int64{3}, Counts: []float64{3}}},
			err:    "twice",
		},
		"a negative bucket of no number": {
			native: Native{Negative: Spans{Spans: []Span{{0, 1}}, Counts: []float64{nan}}},
			err:    "not a finite number",
		},
		"zero count":     {native: Native{ZeroCount: -1}, err: "negative"},
		"zero threshold": {native: Native{ZeroThreshold: nan, ZeroCount: 1}, err: "zero bucket"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := FromNative(c.native)
			if !says(err, c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What the client library counts, we count at bounds that its own observations
// do not exceed, and at the finest resolution within the memory allowed.
func TestFromNativeOfTheClientLibrary(t *testing.T) {
	for _, factor := range []float64{4, 1.5, 1.1, 1.005} {
		rng := rand.New(rand.NewPCG(1, 2))
		client := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", NativeHistogramBucketFactor: factor})
		var times []float64
		for range 20_000 {
			x := math.Exp(rng.NormFloat64()*1.5 - 2)
			times = append(times, x)
			client.Observe(x)
		}
		var page dto.Metric
		if err := client.Write(&page); err != nil {
			t.Fatal(err)
		}
		h, err := FromNative(native(page.GetHistogram()))
		if err != nil {
			t.Fatal(err)
		}
		if h.Count() != 20_000 || len(h.Buckets) > MaxBuckets {
			t.Fatalf("factor %v: %v requests in %d buckets", factor, h.Count(), len(h.Buckets))
		}
		for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
			is, told := quantileOf(times, q), h.Summarize(q).Latency.Seconds()
			if told < is || told > is*max(factor, 1.1)*1.001 {
				t.Errorf("factor %v, quantile %v is %v s, told as %v s", factor, q, is, told)
			}
		}
	}
}

func native(h *dto.Histogram) Native {
	n := Native{
		Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: float64(h.GetZeroCount()),
		Positive: Spans{Deltas: h.GetPositiveDelta()}, Sum: h.GetSampleSum(),
	}
	for _, s := range h.GetPositiveSpan() {
		n.Positive.Spans = append(n.Positive.Spans, Span{s.GetOffset(), s.GetLength()})
	}
	return n
}
