package latency

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var inf = math.Inf(1)

func TestFromCumulative(t *testing.T) {
	nan := math.NaN()
	cases := map[string]struct {
		buckets []Bucket
		sum     float64
		want    Histogram
		err     string
	}{
		"each bucket gets its own requests": {
			buckets: []Bucket{{0.1, 2}, {1, 5}, {inf, 6}}, sum: 9,
			want: Histogram{Buckets: []Bucket{{0.1, 2}, {1, 3}, {inf, 1}}, SumSeconds: 9},
		},
		"a sum that is no number is not known": {
			buckets: []Bucket{{inf, 6}}, sum: nan,
			want: Histogram{Buckets: []Bucket{{inf, 6}}, SumSeconds: nan},
		},
		"a negative sum is not known": {
			buckets: []Bucket{{inf, 6}}, sum: -1,
			want: Histogram{Buckets: []Bucket{{inf, 6}}, SumSeconds: nan},
		},
		"an infinite sum is not known": {
			buckets: []Bucket{{inf, 6}}, sum: inf,
			want: Histogram{Buckets: []Bucket{{inf, 6}}, SumSeconds: nan},
		},
		"digits that were lost move a request up": {
			buckets: []Bucket{{1, 1e9}, {2, 1e9 - 0.5}, {inf, 1e9}}, sum: nan,
			want: Histogram{Buckets: []Bucket{{1, 1e9 - 0.5}, {2, 0}, {inf, 0.5}}, SumSeconds: nan},
		},
		"a bound of centuries is none": {
			buckets: []Bucket{{1, 1}, {1e10, 2}, {1e300, 3}, {inf, 4}}, sum: 1,
			want: Histogram{Buckets: []Bucket{{1, 1}, {inf, 3}}, SumSeconds: 1},
		},
		"no buckets":              {err: "no buckets"},
		"bound NaN":               {buckets: []Bucket{{nan, 1}, {inf, 1}}, err: "bound is not a number"},
		"bound negative":          {buckets: []Bucket{{-1, 1}, {inf, 1}}, err: "bound -1 is negative"},
		"bounds not ascending":    {buckets: []Bucket{{2, 1}, {1, 1}, {inf, 1}}, err: "not ascending: 1 after 2"},
		"bound twice":             {buckets: []Bucket{{1, 1}, {1, 1}, {inf, 1}}, err: "not ascending: 1 after 1"},
		"+Inf twice":              {buckets: []Bucket{{inf, 1}, {inf, 1}}, err: "not ascending"},
		"no +Inf":                 {buckets: []Bucket{{1, 1}, {2, 1}}, err: "no bucket +Inf"},
		"count NaN":               {buckets: []Bucket{{1, nan}, {inf, 1}}, err: "count NaN of bound 1 is not a finite"},
		"count infinite":          {buckets: []Bucket{{1, inf}, {inf, inf}}, err: "count +Inf of bound 1 is not a finite"},
		"count negative":          {buckets: []Bucket{{1, -3}, {inf, 1}}, err: "count -3 of bound 1 is negative"},
		"count beyond any":        {buckets: []Bucket{{1, 1}, {inf, 1e16}}, err: "beyond 2^53"},
		"counts fall":             {buckets: []Bucket{{1, 5}, {2, 3}, {inf, 6}}, err: "not cumulative: 3 up to bound 2, after 5 up to 1"},
		"counts of buckets alone": {buckets: []Bucket{{1, 500}, {2, 3}, {inf, 0}}, err: "not cumulative"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := FromCumulative(c.buckets, c.sum)
			if !says(err, c.err) {
				t.Fatalf("error %v, want %q", err, c.err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFromCounts(t *testing.T) {
	got, err := FromCounts([]Bucket{{2, 1}, {inf, 1}, {-1, 4}, {0.5, 3}, {2, 1}, {-inf, 1}}, 7)
	if err != nil {
		t.Fatal(err)
	}
	want := Histogram{Buckets: []Bucket{{0, 5}, {0.5, 3}, {2, 2}, {inf, 1}}, SumSeconds: 7}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := FromCounts([]Bucket{{1, -1}}, 0); !says(err, "negative") {
		t.Errorf("a negative count: %v", err)
	}
}

func TestScale(t *testing.T) {
	h := Histogram{Buckets: []Bucket{{250, 3}, {inf, 1}}, SumSeconds: 2000, SlackSeconds: 500}
	want := Histogram{Buckets: []Bucket{{0.25, 3}, {inf, 1}}, SumSeconds: 2, SlackSeconds: 0.5}
	if diff := cmp.Diff(want, h.Scale(0.001)); diff != "" {
		t.Error(diff)
	}
	if h.Buckets[0].UpperBound != 250 {
		t.Error("the original was changed")
	}
}

func TestSummarize(t *testing.T) {
	second := time.Second
	cases := map[string]struct {
		h        Histogram
		quantile float64
		want     Summary
	}{
		"no requests": {quantile: 0.99},
		"99 of 100": {
			h:        Histogram{Buckets: []Bucket{{1, 99}, {5, 1}, {inf, 0}}, SumSeconds: math.NaN()},
			quantile: 0.99,
			// Nothing is known of the sum but that one took 1 s: 1% of it is
			// nearly nothing, so it is the longest there is, less 0.01 s.
			want: Summary{Requests: 100, Latency: second, Residual: 4990 * time.Millisecond},
		},
		"the one after that": {
			h:        Histogram{Buckets: []Bucket{{1, 98}, {5, 2}, {inf, 0}}, SumSeconds: math.NaN()},
			quantile: 0.99,
			want:     Summary{Requests: 100, Latency: 5 * second, Residual: 4990 * time.Millisecond},
		},
		"all alike": {
			// 1% of 100 s is 1 s: 100 requests are over 1 s then, at 0.99 s.
			h:        Histogram{Buckets: []Bucket{{1, 100}, {inf, 0}}, SumSeconds: 100},
			quantile: 0.99,
			want:     Summary{Requests: 100, Latency: second, Residual: 990 * time.Millisecond},
		},
		"a fraction of a request": {
			h:        Histogram{Buckets: []Bucket{{1, 0.25}, {2, 0.25}, {inf, 0}}, SumSeconds: 0.75},
			quantile: 0.99,
			want:     Summary{Requests: 0, Latency: 2 * second, Residual: 1970 * time.Millisecond},
		},
		"beyond the last bound": {
			h:        Histogram{Buckets: []Bucket{{1, 90}, {10, 0}, {inf, 10}}, SumSeconds: 200},
			quantile: 0.99,
			want:     Summary{Requests: 100, Latency: 10 * second, Residual: 10 * second, TooCoarse: true, ResidualTooCoarse: true},
		},
		"one beyond the last bound, the sum not known": {
			h:        Histogram{Buckets: []Bucket{{1, 999}, {10, 0}, {inf, 1}}, SumSeconds: math.NaN()},
			quantile: 0.99,
			want:     Summary{Requests: 1000, Latency: second, Residual: 10 * second, ResidualTooCoarse: true},
		},
		"one beyond the last bound, little else": {
			h:        Histogram{Buckets: []Bucket{{1, 999}, {10, 0}, {inf, 1}}, SumSeconds: 120},
			quantile: 0.99,
			want:     Summary{Requests: 1000, Latency: second, Residual: 10 * second, ResidualTooCoarse: true},
		},
		"only +Inf": {
			h:        Histogram{Buckets: []Bucket{{inf, 3}}, SumSeconds: 3},
			quantile: 0.99,
			want:     Summary{Requests: 3, TooCoarse: true, ResidualTooCoarse: true},
		},
		"a quantile that is no number": {
			h:        Histogram{Buckets: []Bucket{{1, 99}, {5, 1}}, SumSeconds: 80},
			quantile: math.NaN(),
			want:     Summary{Requests: 100, Latency: 5 * second, Residual: 5 * second},
		},
		"nothing took any time": {
			h:        Histogram{Buckets: []Bucket{{0, 7}, {1, 0}, {inf, 0}}, SumSeconds: 0},
			quantile: 0.99,
			want:     Summary{Requests: 7},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.h.Summarize(c.quantile)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// says whether an error has a text, and is none where the text is empty.
func says(err error, text string) bool {
	if text == "" || err == nil {
		return text == "" && err == nil
	}
	return strings.Contains(err.Error(), text)
}
