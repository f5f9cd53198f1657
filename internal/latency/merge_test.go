package latency

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestMerge(t *testing.T) {
	nan := math.NaN()
	cases := map[string]struct{ a, b, want Histogram }{
		"the same layout": {
			Histogram{Buckets: []Bucket{{1, 2}, {inf, 1}}, SumSeconds: 7},
			Histogram{Buckets: []Bucket{{1, 3}, {inf, 0}}, SumSeconds: 2},
			Histogram{Buckets: []Bucket{{1, 5}, {inf, 1}}, SumSeconds: 9},
		},
		"with nothing": {
			Histogram{},
			Histogram{Buckets: []Bucket{{1, 3}}, SumSeconds: 2},
			Histogram{Buckets: []Bucket{{1, 3}}, SumSeconds: 2},
		},
		"a sum of no requests is known": {
			Histogram{Buckets: []Bucket{{1, 0}}, SumSeconds: nan},
			Histogram{Buckets: []Bucket{{1, 3}}, SumSeconds: 2},
			Histogram{Buckets: []Bucket{{1, 3}}, SumSeconds: 2},
		},
		"a sum of some is not": {
			Histogram{Buckets: []Bucket{{1, 1}}, SumSeconds: nan},
			Histogram{Buckets: []Bucket{{1, 3}}, SumSeconds: 2},
			Histogram{Buckets: []Bucket{{1, 4}}, SumSeconds: nan},
		},
		"a bound between": {
			// The three of the first may have taken 0 to 2 s, where the
			// bound below is 1 now.
			Histogram{Buckets: []Bucket{{2, 3}, {inf, 0}}, SumSeconds: nan},
			Histogram{Buckets: []Bucket{{1, 4}, {2, 1}, {inf, 0}}, SumSeconds: nan},
			Histogram{Buckets: []Bucket{{1, 4}, {2, 4}, {inf, 0}}, SumSeconds: nan, SlackSeconds: 3},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Merge(c.a, c.b), cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.want, Merge(c.b, c.a), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("the other way round: %s", diff)
			}
		})
	}
}

// Cells are those of native histograms, so that what is left of one has bounds
// that a coarser one has too.
func TestCellsAreBucketsOfNativeHistograms(t *testing.T) {
	for schema := int32(minSchema); schema <= maxSchema; schema++ {
		for index := int64(-600 >> (maxSchema - schema)); index <= 600; index++ {
			bound := NativeBound(schema, index)
			if math.IsInf(bound, 1) || bound == 0 {
				continue
			}
			if got := cell(bound, int(schema)); got != float64(index) {
				t.Fatalf("schema %d: bound %d is in cell %v", schema, index, got)
			}
		}
	}
}

func TestReduceLeavesTheLongest(t *testing.T) {
	var buckets []Bucket
	for index := int64(-100); index < 100; index++ {
		buckets = append(buckets, Bucket{NativeBound(4, index), 1})
	}
	h, err := FromCounts(append(buckets, Bucket{inf, 1}), math.NaN())
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Buckets) != MaxBuckets || h.Count() != 201 {
		t.Fatalf("%v requests in %d buckets", h.Count(), len(h.Buckets))
	}
	// 41 too many, each put together with its neighbour but the first of all,
	// whose neighbour in the cell would be below it.
	if diff := cmp.Diff(buckets[83:], h.Buckets[42:MaxBuckets-1]); diff != "" {
		t.Error(diff)
	}
}

// Whatever comes from outside is refused, or is a histogram that all else here
// can work with.
func FuzzFromNative(f *testing.F) {
	f.Add(int32(3), 0.001, 2.0, int32(-5), uint32(2), int64(3), int64(-1), 1.5, 12.0)
	f.Add(int32(-53), 1.0, 0.0, int32(0), uint32(2), int64(3), int64(0), math.Inf(1), math.NaN())
	f.Fuzz(func(t *testing.T, schema int32, threshold, zero float64, offset int32, length uint32, first, second int64, bound, sum float64) {
		h, err := FromNative(Native{
			Schema: schema, ZeroThreshold: threshold, ZeroCount: zero, Bounds: []float64{bound}, Sum: sum,
			Positive: Spans{Spans: []Span{{offset, length}}, Deltas: []int64{first, second}},
			Negative: Spans{Spans: []Span{{-offset, 1}}, Counts: []float64{zero}},
		})
		if err == nil {
			checkSound(t, h)
		}
	})
}

func FuzzFromCumulative(f *testing.F) {
	f.Add(0.1, 1.0, 2.0, 3.0, 4.0, 9.0)
	f.Add(-1.0, 1e300, math.NaN(), 5.0, 4.0, math.Inf(-1))
	f.Fuzz(func(t *testing.T, low, high, a, b, c, sum float64) {
		buckets := []Bucket{{low, a}, {high, b}, {inf, c}}
		if h, err := FromCumulative(buckets, sum); err == nil {
			checkSound(t, h)
			if math.Abs(h.Count()-c) > 1e-9*c {
				t.Errorf("%v requests of %v", h.Count(), c)
			}
		}
		if h, err := FromCounts(buckets, sum); err == nil {
			checkSound(t, h)
			checkSound(t, Merge(h, Histogram{Buckets: []Bucket{{1, 3}, {inf, 0}}, SumSeconds: 2}))
		}
	})
}

func checkSound(t *testing.T, h Histogram) {
	t.Helper()
	below := -1.0
	for _, b := range h.Buckets {
		if !(b.UpperBound > below) || !(b.Count >= 0) || math.IsInf(b.Count, 1) {
			t.Fatalf("unsound: %+v", h.Buckets)
		}
		below = b.UpperBound
	}
	for _, q := range quantiles {
		s := h.Summarize(q)
		if s.Requests < 0 || s.Latency < 0 || s.Residual < 0 {
			t.Fatalf("quantile %v of %+v: %+v", q, h, s)
		}
	}
}
