package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The properties are tried on this many random sets of requests each; a
// failure names the seed.
const rounds = 200

var quantiles = []float64{0, 0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1}

func TestNeverOptimistic(t *testing.T) {
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 3))
		times, h := observed(rng)
		if got := h.Count(); math.Abs(got-float64(len(times))) > 1e-6 {
			t.Fatalf("seed %d: %v of %d requests are counted", seed, got, len(times))
		}
		if len(h.Buckets) > MaxBuckets {
			t.Fatalf("seed %d: %d buckets", seed, len(h.Buckets))
		}
		for _, q := range quantiles {
			s := h.Summarize(q)
			// Times of a nanosecond's fraction are rounded up.
			if is := quantileOf(times, q); !s.TooCoarse && s.Latency.Seconds() < is*(1-1e-9) {
				t.Errorf("seed %d: quantile %v is %v s, told as %v", seed, q, is, s.Latency)
			}
			if is := residualOf(times, q); !s.ResidualTooCoarse && s.Residual.Seconds() < is*(1-1e-9) {
				t.Errorf("seed %d: residual %v is %v s, told as %v", seed, q, is, s.Residual)
			}
		}
	}
}

func TestNeverBeyondTheLongest(t *testing.T) {
	for seed := range uint64(rounds) {
		_, h := observed(rand.New(rand.NewPCG(seed, 4)))
		longest := h.Summarize(1).Latency
		for _, q := range quantiles {
			if r, tooCoarse := h.Residual(q); !tooCoarse && h.beyond() == 0 && r > longest {
				t.Errorf("seed %d: residual %v is %v, and no request took more than %v", seed, q, r, longest)
			}
		}
	}
}

func TestMonotoneInTheQuantile(t *testing.T) {
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 5))
		_, h := observed(rng)
		q := rng.Float64()
		less, more := h.Summarize(q), h.Summarize(q+(1-q)*rng.Float64())
		if more.Latency < less.Latency || more.Residual < less.Residual {
			t.Errorf("seed %d: %+v at a larger quantile than %+v", seed, more, less)
		}
		if less.TooCoarse && !more.TooCoarse || less.ResidualTooCoarse && !more.ResidualTooCoarse {
			t.Errorf("seed %d: too coarse at the smaller quantile alone: %+v, %+v", seed, less, more)
		}
	}
}

func TestMergingOnlyMovesUp(t *testing.T) {
	for seed := range uint64(rounds) {
		rng := rand.New(rand.NewPCG(seed, 6))
		_, a := observed(rng)
		_, b := observed(rng)
		ab, ba := Merge(a, b), Merge(b, a)
		for _, bound := range append(bounds(a), bounds(b)...) {
			most := upTo(a, bound) + upTo(b, bound)
			if got := upTo(ab, bound); got > most+1e-6 {
				t.Errorf("seed %d: %v requests up to %v, and there were %v", seed, got, bound, most)
			}
			if x, y := upTo(ab, bound), upTo(ba, bound); math.Abs(x-y) > 1e-6 {
				t.Errorf("seed %d: up to %v, %v one way and %v the other", seed, bound, x, y)
			}
		}
	}
}

// Many merges in any order tell the same within one cell of the grid that
// memory allows for 30 doublings: 2^(1/4).
func TestMergingInAnyOrder(t *testing.T) {
	for seed := range uint64(rounds / 8) {
		rng := rand.New(rand.NewPCG(seed, 7))
		var parts []Histogram
		for range 6 {
			times := sample(rng)
			parts = append(parts, histogramOf(times, nativeBounds(times, 8), true))
		}
		forth := mergeAll(parts)
		slices.Reverse(parts)
		back := mergeAll(parts)
		for _, q := range quantiles {
			x, y := forth.Summarize(q).Latency.Seconds(), back.Summarize(q).Latency.Seconds()
			if max(x, y) > min(x, y)*math.Exp2(0.25)*1.001 {
				t.Errorf("seed %d: quantile %v is %v one way, %v the other", seed, q, x, y)
			}
		}
	}
}

func mergeAll(parts []Histogram) Histogram {
	var all Histogram
	for _, p := range parts {
		all = Merge(all, p)
	}
	return all
}

// observed are random requests, and what one or several histograms of other
// layouts, merged, tell of them.
func observed(rng *rand.Rand) (times []float64, h Histogram) {
	withSum := rng.IntN(2) == 0
	for range 1 + rng.IntN(4) {
		part := sample(rng)
		times = append(times, part...)
		h = Merge(h, histogramOf(part, layout(rng, part), withSum))
	}
	return times, h
}

// sample of 1 to 2,000 requests in seconds, from a random distribution.
func sample(rng *rand.Rand) []float64 {
	kind, scale, sigma := rng.IntN(4), math.Exp(rng.NormFloat64()*2-2), 2*rng.Float64()
	times := make([]float64, 1+rng.IntN(2000))
	for i := range times {
		switch kind {
		case 0:
			times[i] = scale * math.Exp(sigma*rng.NormFloat64())
		case 1:
			times[i] = scale * math.Pow(1-rng.Float64(), -1/1.5)
		case 2:
			times[i] = scale
		default:
			times[i] = scale
			if rng.IntN(100) == 0 {
				times[i] *= 100
			}
		}
	}
	return times
}

func layout(rng *rand.Rand, times []float64) []float64 {
	switch rng.IntN(3) {
	case 0:
		return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, inf}
	case 1:
		return nativeBounds(times, int32(rng.IntN(9)))
	}
	var bounds []float64
	for range 1 + rng.IntN(30) {
		bounds = append(bounds, math.Exp(rng.NormFloat64()*3))
	}
	slices.Sort(bounds)
	return append(slices.Compact(bounds), inf)
}

// nativeBounds are those of a native histogram that has the times.
func nativeBounds(times []float64, schema int32) []float64 {
	var bounds []float64
	for _, x := range times {
		index := int64(math.Floor(math.Ldexp(math.Log2(x), int(schema))))
		for NativeBound(schema, index) < x {
			index++
		}
		bounds = append(bounds, NativeBound(schema, index))
	}
	slices.Sort(bounds)
	return slices.Compact(bounds)
}

func histogramOf(times, bounds []float64, withSum bool) Histogram {
	buckets, sum := make([]Bucket, len(bounds)), 0.0
	for i, b := range bounds {
		buckets[i].UpperBound = b
	}
	for _, x := range times {
		at, _ := slices.BinarySearch(bounds, x)
		buckets[at].Count++
		sum += x
	}
	if !withSum {
		sum = math.NaN()
	}
	h, err := FromCounts(buckets, sum)
	if err != nil {
		panic(err) // the test's own mistake
	}
	return h
}

func quantileOf(times []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(times))
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// residualOf is the quantile of what is left of the times at a random moment,
// found by halving on the exact expectation.
func residualOf(times []float64, q float64) float64 {
	left := func(x float64) float64 {
		var sum float64
		for _, l := range times {
			sum += max(0, l-x)
		}
		return sum
	}
	low, high := 0.0, slices.Max(times)
	allowed := (1 - q) * left(0)
	for range 60 {
		if mid := (low + high) / 2; left(mid) > allowed {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

func bounds(h Histogram) []float64 {
	var all []float64
	for _, b := range h.Buckets {
		all = append(all, b.UpperBound)
	}
	return all
}

// upTo is how many requests are counted at bounds that do not exceed one.
func upTo(h Histogram, bound float64) float64 {
	var n float64
	for _, b := range h.Buckets {
		if b.UpperBound <= bound {
			n += b.Count
		}
	}
	return n
}
