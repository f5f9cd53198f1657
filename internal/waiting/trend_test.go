package waiting

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// number in flight at a time since the pod is out of rotation.
type number func(at time.Duration) int64

// steadily falls from one number to another over a time.
func steadily(from, to int64, over time.Duration) number {
	return func(at time.Duration) int64 {
		return from - int64(float64(from-to)*float64(min(at, over))/float64(over))
	}
}

func (n number) leaking(leaked int64) number {
	return func(at time.Duration) int64 { return leaked + n(at) }
}

// probed adds a request of 30 ms once a second.
func (n number) probed() number {
	return func(at time.Duration) int64 {
		if at%s < 30*ms {
			return n(at) + 1
		}
		return n(at)
	}
}

const phase = 40 * s

// shapes of what is in flight during a phase of 40 s.
var shapes = map[string]struct {
	number number
	want   string
}{
	"many, finished steadily":                     {steadily(100, 3, phase), hold.TrendFalling},
	"few, one after another":                      {steadily(6, 1, phase), hold.TrendFalling},
	"few, and readiness probes in between":        {steadily(6, 1, phase).probed(), hold.TrendFalling},
	"some end in the later half, others do not":   {steadily(20, 5, 3*phase/4), hold.TrendFalling},
	"a leak, beside many that are being finished": {steadily(100, 3, phase).leaking(3), hold.TrendFalling},
	"a leak alone":                                {steadily(0, 0, phase).leaking(3), hold.TrendSteady},
	"a leak alone, and readiness probes":          {steadily(0, 0, phase).leaking(3).probed(), hold.TrendSteady},
	"a leak, the genuine ones ended soon":         {steadily(50, 0, phase/4).leaking(3), hold.TrendSteady},
	"a leak, the genuine ones ended at half time": {steadily(50, 0, phase/2).leaking(3), hold.TrendSteady},
	"one request that takes all the time":         {steadily(1, 1, phase), hold.TrendSteady},
	"more and more":                               {func(at time.Duration) int64 { return 1 + int64(at/s) }, hold.TrendSteady},
	"more and more, then back to where it was": {func(at time.Duration) int64 {
		return 3 + int64(min(at, phase-at)/s)
	}, hold.TrendSteady},
	"up and down": {func(at time.Duration) int64 { return 10 + int64(at/(3*s))%2*4 }, hold.TrendSteady},
}

// From each kind of drain status the same trend is seen.
func TestTrend(t *testing.T) {
	const rotated = 5 * s
	for name, shape := range shapes {
		reading := func(at time.Duration) drainstatus.Reading { return busy(shape.number(at - rotated)) }
		worlds := map[string]struct {
			spec  hold.Spec
			world world
		}{
			"polled": {spec(http), world{endpoint: func(at time.Duration, _ int) (drainstatus.Reading, time.Duration) {
				return reading(at), ms
			}}},
			"long-polled": {spec(http), world{endpoint: func(at time.Duration, wait int) (drainstatus.Reading, time.Duration) {
				took := time.Duration(wait)*s + ms
				return reading(at + took), took
			}}},
			"tcp": {spec(tcp), world{owing: func(at time.Duration) int64 { return shape.number(max(0, at-rotated)) }}},
		}
		for kind, w := range worlds {
			t.Run(name+", "+kind, func(t *testing.T) {
				w.spec.PropagationMaxSeconds, w.spec.BoundSeconds = 5, 45
				got, _ := w.world.run(t, w.spec)
				if got.Outcome != hold.OutcomeTimedOut || got.InFlight == 0 || got.Trend != shape.want {
					t.Errorf("got %+v, want %s", got, shape.want)
				}
			})
		}
	}
}

// Nothing is said of what was not seen, or was not left.
func TestNoTrend(t *testing.T) {
	steady := func(at time.Duration, wait int) (drainstatus.Reading, time.Duration) {
		return busy(3), time.Duration(wait)*s + ms
	}
	tests := map[string]struct {
		spec  hold.Spec
		world world
	}{
		"drained":           {spec(http), world{endpoint: polled(20 * s)}},
		"only long-lived":   {spec(http), world{endpoint: func(time.Duration, int) (drainstatus.Reading, time.Duration) { return busy(0), ms }}},
		"a number not told": {spec(http), world{endpoint: func(time.Duration, int) (drainstatus.Reading, time.Duration) { return busy(-1), ms }}},
		"still in rotation": {spec(func(sp *hold.Spec) { tcp(sp); sp.BoundSeconds = 3 }), world{busyUntil: time.Hour}},
		"no drain status":   {spec(func(sp *hold.Spec) { sp.BoundSeconds = 30 }), world{busyUntil: time.Hour}},
		"too short to tell": {spec(func(sp *hold.Spec) { http(sp); sp.BoundSeconds = 6 }), world{endpoint: steady}},
		"unreadable since":  {spec(http), world{endpoint: failing(2*s, 6*s)}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := tc.world.run(t, tc.spec); got.Trend != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// However long a hold, little is kept, and the shape is still seen.
func TestTrendIsBounded(t *testing.T) {
	for _, phase := range []time.Duration{2 * s, 9 * s, 10 * time.Minute, 24 * time.Hour} {
		trends := map[string]number{
			hold.TrendFalling: steadily(1000, 1, phase),
			hold.TrendSteady:  steadily(1000, 1, phase/2),
		}
		for want, number := range trends {
			tr := trend{began: 5 * s}
			for at := time.Duration(0); at <= phase; at += phase / 1000 {
				tr.took(5*s+at, number(at))
			}
			if got := tr.verdict(5*s + phase); got != want || len(tr.spans) > maxSpans {
				t.Errorf("%v: got %s with %d spans, want %s", phase, got, len(tr.spans), want)
			}
		}
	}
}

// Work that keeps coming at random at a constant level ends lower than it was
// half of the time. It is rarely taken for falling, how often depends on how
// the requests' duration compares to the phase.
func TestConstantLevelIsSteady(t *testing.T) {
	const runs = 400
	for _, level := range []float64{1, 3, 10, 100} {
		for took, most := range map[time.Duration]float64{s: 0.005, 5 * s: 0.03, 20 * s: 0.12} {
			for _, every := range []time.Duration{100 * ms, s} {
				t.Run(fmt.Sprintf("%v in flight for %v, seen every %v", level, took, every), func(t *testing.T) {
					random := rand.New(rand.NewPCG(1, 2))
					falling := 0
					for range runs {
						if constant(random, level, took, every) == hold.TrendFalling {
							falling++
						}
					}
					if share := float64(falling) / runs; share > most {
						t.Errorf("falling in %.1f %%, want at most %.1f %%", 100*share, 100*most)
					}
				})
			}
		}
	}
}

// constant is the trend of requests that come at random and take a random time.
func constant(random *rand.Rand, level float64, took, every time.Duration) string {
	type request struct{ from, to time.Duration }
	var requests []request
	gap := float64(took) / level
	for at := -8 * float64(took); at < float64(phase); at += random.ExpFloat64() * gap {
		requests = append(requests, request{time.Duration(at), time.Duration(at + random.ExpFloat64()*float64(took))})
	}
	counts := make([]int64, phase/every+1)
	for _, r := range requests {
		for i := range counts {
			if at := time.Duration(i) * every; r.from <= at && at < r.to {
				counts[i]++
			}
		}
	}
	var tr trend
	for i, n := range counts {
		tr.took(time.Duration(i)*every, n)
	}
	return tr.verdict(phase)
}
