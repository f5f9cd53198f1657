package latency

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// Requests arrive by themselves and in crowds, and a look at a random moment
// finds those that are in flight: what they still need must be what the
// formula says of their lengths, and never more than the buckets tell.
func TestResidualOfASimulation(t *testing.T) {
	lengths := map[string]func(*rand.Rand) float64{
		"lognormal": func(r *rand.Rand) float64 { return 0.1 * math.Exp(1.5*r.NormFloat64()) },
		"bimodal": func(r *rand.Rand) float64 {
			if r.IntN(100) == 0 {
				return 5
			}
			return 0.05
		},
		"heavy tail": func(r *rand.Rand) float64 { return min(0.05*math.Pow(1-r.Float64(), -1/1.5), 60) },
	}
	arrivals := map[string]func(*rand.Rand) float64{
		"Poisson": func(r *rand.Rand) float64 { return r.ExpFloat64() / 20 },
		"in crowds": func(r *rand.Rand) float64 {
			if r.IntN(10) > 0 {
				return 0
			}
			return r.ExpFloat64() / 2
		},
		"like a clock": func(*rand.Rand) float64 { return 0.05 },
	}
	for name, length := range lengths {
		for arriving, gap := range arrivals {
			t.Run(name+", arriving "+arriving, func(t *testing.T) {
				times, found := simulate(rand.New(rand.NewPCG(8, 9)), length, gap)
				for _, q := range []float64{0.5, 0.9, 0.99} {
					checkResidual(t, times, found, q)
				}
			})
		}
	}
}

// simulate returns how long all requests took, and what those that were found
// in flight still needed.
func simulate(rng *rand.Rand, length, gap func(*rand.Rand) float64) (times, found []float64) {
	var ends []float64
	now, look := 0.0, 100.0
	for now < 10_000 {
		for look < now {
			for _, end := range ends {
				if end > look {
					found = append(found, end-look)
				}
			}
			look += 2 * rng.ExpFloat64()
		}
		l := length(rng)
		times = append(times, l)
		ends = append(slices.DeleteFunc(ends, func(end float64) bool { return end <= now }), now+l)
		now += gap(rng)
	}
	return times, found
}

// checkResidual allows for the sampling error in the share that is beyond: it
// is seen in lumps, since a long request is found by several looks.
func checkResidual(t *testing.T, times, found []float64, q float64) {
	t.Helper()
	const lump = 10
	off := 4 * math.Sqrt(q*(1-q)*lump/float64(len(found)))
	low, high := quantileOf(found, max(0, q-off)), quantileOf(found, min(1, q+off))
	if is := residualOf(times, q); is < low || is > high {
		t.Errorf("quantile %v by the formula %.3f s, found %.3f to %.3f s in %d looks", q, is, low, high, len(found))
	}
	layouts := map[string][]float64{
		"classic": {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, inf},
		"native":  nativeBounds(times, 3),
	}
	for name, bounds := range layouts {
		for _, withSum := range []bool{true, false} {
			told, tooCoarse := histogramOf(times, bounds, withSum).Residual(q)
			if !tooCoarse && told.Seconds() < low {
				t.Errorf("%s, sum %t: quantile %v told as %v, found at least %.3f s", name, withSum, q, told, low)
			}
		}
	}
}

func TestResidualOfAll(t *testing.T) {
	// All take 1 s: what is left is spread evenly, to 1 - 0.01/n.
	h := Histogram{Buckets: []Bucket{{1, 100}, {inf, 0}}, SumSeconds: 100}
	cases := map[string]struct {
		inFlight float64
		want     time.Duration
	}{
		"one":             {1, 990 * time.Millisecond},
		"a tenth of one":  {0.1, 990 * time.Millisecond},
		"ten":             {10, 999 * time.Millisecond},
		"nobody knows":    {inf, time.Second},
		"none whatsoever": {0, 990 * time.Millisecond},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, tooCoarse := h.ResidualOfAll(0.99, c.inFlight)
			if tooCoarse || (got-c.want).Abs() > time.Microsecond {
				t.Errorf("%v, too coarse %t, want %v", got, tooCoarse, c.want)
			}
		})
	}
}

func TestInFlight(t *testing.T) {
	nan := math.NaN()
	cases := map[string]struct {
		h    Histogram
		want float64
	}{
		"the sum is known":             {Histogram{Buckets: []Bucket{{1, 300}, {2, 300}}, SumSeconds: 600}, 5},
		"it is not":                    {Histogram{Buckets: []Bucket{{1, 300}, {2, 300}}, SumSeconds: nan}, 7.5},
		"it is more than buckets hold": {Histogram{Buckets: []Bucket{{1, 300}, {2, 300}}, SumSeconds: 600_000}, 7.5},
		"nor the longest ones":         {Histogram{Buckets: []Bucket{{1, 300}, {inf, 1}}, SumSeconds: nan}, inf},
		"no requests":                  {Histogram{}, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := c.h.InFlight(time.Minute, 2); got != c.want {
				t.Errorf("%v in flight, want %v", got, c.want)
			}
		})
	}
}

// A sum that the buckets rule out, in another unit say, counts for nothing.
func TestResidualOfASumThatCannotBe(t *testing.T) {
	for _, sum := range []float64{math.NaN(), 0, 99, 1101, 200_000} {
		h := Histogram{Buckets: []Bucket{{1, 100}, {2, 0}, {10, 50}, {20, 25}, {inf, 0}}, SumSeconds: sum}
		// At least, 50 took 2 s and 25 took 10 s: 350 s, of which 1% may be
		// left: 25 × (20 - x).
		if got, _ := h.Residual(0.99); got != 19860*time.Millisecond {
			t.Errorf("with a sum of %v: %v", sum, got)
		}
	}
}
