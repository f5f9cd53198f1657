package simulation

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOutcome(t *testing.T) {
	var o outcome
	o.add([]float64{1, 2.5, 4}, 2*time.Second)
	o.add([]float64{0.5, 1}, 2*time.Second)
	o.add(nil, 2*time.Second)
	want := outcome{drains: 3, inFlight: 5, cut: 2, drainsCut: 1, heldSeconds: 3}
	if diff := cmp.Diff(want, o, cmp.AllowUnexported(outcome{})); diff != "" {
		t.Error(diff)
	}
}

// Requests that all take 2 s, 50 of them a second: by Little's law 100 are in
// flight, and what they still need is spread evenly over these 2 s.
func TestInFlight(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	d := distribution{draw: func(*rand.Rand) float64 { return 2 }}
	var left []float64
	n, seconds, longest := 0.0, 0.0, 0.0
	for range 1000 {
		left = inFlight(rng, d, 50, left)
		for _, x := range left {
			n, seconds, longest = n+1, seconds+x, max(longest, x)
		}
	}
	if n < 98_500 || n > 101_500 || seconds/n < 0.99 || seconds/n > 1.01 || longest > 2 {
		t.Errorf("%v in flight in 1,000 looks, %v s left on average, %v s at most", n, seconds/n, longest)
	}
}

// With a tail, the rule with the residual cuts fewer than the percentile alone,
// and each budget is at least the one before it.
func TestRules(t *testing.T) {
	rows, err := play(t.Context(), []load{{20, 300}})
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(distributions)*len(layouts) {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		for i := 1; i < len(rules); i++ {
			if r.budgets[i] < r.budgets[i-1] || r.outcomes[i].cut > r.outcomes[i-1].cut {
				t.Errorf("%s, %s: %q has %v and cuts %d, %q has %v and cuts %d", r.layout, r.distribution,
					rules[i-1].name, r.budgets[i-1], r.outcomes[i-1].cut, rules[i].name, r.budgets[i], r.outcomes[i].cut)
			}
		}
		if r.distribution == "lognormal, sigma 2.0" && r.outcomes[0].cut < 2*r.outcomes[1].cut {
			t.Errorf("%s: %d cut by the percentile, %d with the residual", r.layout, r.outcomes[0].cut, r.outcomes[1].cut)
		}
	}
}
