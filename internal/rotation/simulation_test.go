package rotation

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// poisson are events at random, so many per second.
func poisson(random *rand.Rand, perSecond float64, first, last time.Duration) []time.Duration {
	var at []time.Duration
	for t := first; ; {
		t += time.Duration(random.ExpFloat64() / perSecond * float64(time.Second))
		if t > last {
			return at
		}
		at = append(at, t)
	}
}

// The mean of a pod's life is more than what it gets now, at night: the balancer
// goes on for 20 s, and nobody may be sent to a pod that has ended.
func TestFewPodsAreLetGoTooEarly(t *testing.T) {
	const (
		runs = 300
		slow = 20 * time.Second
	)
	for _, now := range []float64{0.2, 0.5, 1, 2, 5} {
		for _, times := range []float64{1, 3} {
			t.Run(fmt.Sprintf("%v per second, %v times that in the mean", now, times), func(t *testing.T) {
				random := rand.New(rand.NewPCG(1, 2))
				age := 24 * time.Hour
				past := uint64(now * times * age.Seconds())
				early := 0
				for range runs {
					w := world{
						settings: Settings{Min: 2 * time.Second, Max: 60 * time.Second, Ports: []int32{8080}, Age: age},
						past:     past, fresh: poisson(random, now, 0, slow),
					}
					if out, _ := w.out(t); len(w.fresh) > 0 && out <= w.fresh[len(w.fresh)-1] {
						early++
					}
				}
				share := float64(early) / runs
				t.Logf("%.1f %% too early", 100*share)
				if share > 0.03 {
					t.Errorf("%.1f %% of the pods were let go too early", 100*share)
				}
			})
		}
	}
}
