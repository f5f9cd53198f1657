package observe

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const (
	// maxBounds of a histogram, as it comes from outside.
	maxBounds = 2000
	// maxValueSeconds is the longest latency that is believed: a day.
	maxValueSeconds = 24 * 60 * 60
)

// answer is what a query returned: one of both.
type answer struct {
	histogram *latency.Histogram
	// value is the percentile, in the policy's unit.
	value float64
}

// readAnswer tells apart what a query may return: a histogram as one series per
// le or as one native sample, or one number.
func readAnswer(v model.Value) (answer, *Failure) {
	switch v := v.(type) {
	case *model.Scalar:
		return answer{value: float64(v.Value)}, nil
	case model.Vector:
		return readVector(v)
	case nil:
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the answer has no value")
	}
	return answer{}, failf(v1alpha1.ReasonAnswerUnusable,
		"the query returns a %s; it must return one series per le, one native histogram or one value", v.Type())
}

func readVector(v model.Vector) (answer, *Failure) {
	for _, s := range v {
		if s == nil {
			return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the answer has a series without a value")
		}
	}
	switch {
	case len(v) == 0:
		return answer{}, failf(v1alpha1.ReasonNoData, "the query returns nothing: no series matches, or none has had a request")
	case hasLE(v):
		return classic(v)
	case len(v) > 1:
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable,
			"the query returns %d series, none with the label le; aggregate them, for instance with sum by (le) (...)", len(v))
	case v[0].Histogram != nil:
		return native(v[0].Histogram)
	}
	return answer{value: float64(v[0].Value)}, nil
}

func hasLE(v model.Vector) bool {
	return slices.ContainsFunc(v, func(s *model.Sample) bool { return s.Metric[model.BucketLabel] != "" })
}

// classic reads one series per bound. The same bound may be written in two ways
// ("1" and "1.0", before and after an upgrade of Prometheus): each then has the
// requests of its time, and they are added up.
func classic(v model.Vector) (answer, *Failure) {
	if len(v) > maxBounds {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the query returns %d series, at most %d are read; aggregate them with sum by (le) (...)", len(v), maxBounds)
	}
	if err := oneHistogram(v); err != nil {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "%v", err)
	}
	counts := map[float64]float64{}
	for _, s := range v {
		text := string(s.Metric[model.BucketLabel])
		bound, err := strconv.ParseFloat(text, 64)
		if err != nil || s.Histogram != nil {
			return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "le=%.40q is not the bound of a bucket", text)
		}
		counts[bound] += float64(s.Value)
	}
	h, err := latency.FromCumulative(settled(counts), math.NaN())
	if err != nil {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the histogram that the query returns cannot be used: %v", err)
	}
	return answer{histogram: &h}, nil
}

// oneHistogram says whether the series differ in nothing but le.
func oneHistogram(v model.Vector) error {
	var first model.Metric
	for _, s := range v {
		if s.Metric[model.BucketLabel] == "" {
			return errors.New("the query returns series with the label le, and others without it")
		}
		rest := s.Metric.Clone()
		delete(rest, model.BucketLabel)
		if first == nil {
			first = rest
		}
		if !first.Equal(rest) {
			return fmt.Errorf("the query returns several histograms, such as %.100s and %.100s; wrap it in sum by (le) (...)", first, rest)
		}
	}
	return nil
}

// extrapolated is by how much of the total a bucket may have fewer requests
// than the one below it: increase() extrapolates each series by itself, and
// comes to slightly different ends where series have just begun.
const extrapolated = 0.05

// settled sorts cumulative counts by bound. Where one is a little below the one
// before it, the one before it is lowered, which moves requests to the larger
// bound. What is far off stays, to be refused.
func settled(counts map[float64]float64) []latency.Bucket {
	buckets := make([]latency.Bucket, 0, len(counts))
	for bound, count := range counts {
		buckets = append(buckets, latency.Bucket{UpperBound: bound, Count: count})
	}
	slices.SortFunc(buckets, func(a, b latency.Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	tolerated := extrapolated * buckets[len(buckets)-1].Count
	for i := len(buckets) - 2; i >= 0; i-- {
		if over := buckets[i].Count - buckets[i+1].Count; over > 0 && over <= tolerated {
			buckets[i].Count = buckets[i+1].Count
		}
	}
	return buckets
}

// native reads a native histogram as the API answers it: populated buckets with
// both their bounds. A gap between two becomes an empty bucket, so that the
// lower bound of the second is not forgotten.
func native(h *model.SampleHistogram) (answer, *Failure) {
	if len(h.Buckets) > maxBounds {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the native histogram has %d buckets, at most %d are read", len(h.Buckets), maxBounds)
	}
	var buckets []latency.Bucket
	for _, b := range h.Buckets {
		if b == nil {
			return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the native histogram has a bucket without bounds")
		}
		if lower := float64(b.Lower); lower > 0 {
			buckets = append(buckets, latency.Bucket{UpperBound: lower})
		}
		buckets = append(buckets, latency.Bucket{UpperBound: float64(b.Upper), Count: float64(b.Count)})
	}
	read, err := latency.FromCounts(buckets, float64(h.Sum))
	if err != nil {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the native histogram cannot be used: %v", err)
	}
	if told := float64(h.Count); !(math.Abs(told-read.Count()) <= extrapolated*max(told, read.Count())) {
		return answer{}, failf(v1alpha1.ReasonAnswerUnusable, "the native histogram says %v requests, and its buckets have %v", told, read.Count())
	}
	return answer{histogram: &read}, nil
}

// valueOf makes a time of a percentile that somebody else worked out.
func valueOf(value float64, unit v1alpha1.LatencyUnit) (time.Duration, *Failure) {
	seconds := value * secondsPer(unit)
	switch {
	case math.IsNaN(value):
		return 0, failf(v1alpha1.ReasonNoData, "the query returns NaN, as histogram_quantile does where there was no request")
	case math.IsInf(value, 0), value < 0:
		return 0, failf(v1alpha1.ReasonAnswerUnusable, "the query returns %v, want a latency", value)
	case seconds > maxValueSeconds:
		return 0, failf(v1alpha1.ReasonAnswerUnusable, "the query returns a latency of %v s, which is not believed: is its unit right?", seconds)
	}
	return time.Duration(math.Ceil(seconds * float64(time.Second))), nil
}

// countOf reads how many requests a value stands for.
func countOf(v model.Value) (int64, *Failure) {
	a, failure := readAnswer(v)
	switch {
	case failure != nil:
		return 0, failf(failure.Reason, "countQuery: %s", failure.Message)
	case a.histogram != nil:
		return 0, failf(v1alpha1.ReasonAnswerUnusable, "countQuery returns a histogram, want one number")
	case math.IsNaN(a.value), math.IsInf(a.value, 0), a.value < 0, a.value > 1<<53:
		return 0, failf(v1alpha1.ReasonAnswerUnusable, "countQuery returns %v, want a number of requests", a.value)
	}
	return int64(a.value), nil
}

func secondsPer(unit v1alpha1.LatencyUnit) float64 {
	if unit == v1alpha1.UnitMilliseconds {
		return 0.001
	}
	return 1
}
