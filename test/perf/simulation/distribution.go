package simulation

import (
	"math"
	"math/rand/v2"
)

// timeout after which every request ends, in seconds: that of the server.
const timeout = 60.0

// distribution of how long requests take.
type distribution struct {
	name string
	// draw returns seconds, before the timeout cuts them.
	draw func(*rand.Rand) float64
}

func (d distribution) seconds(rng *rand.Rand) float64 { return min(d.draw(rng), timeout) }

// distributions have medians of 32 to 56 ms; what differs are their tails.
var distributions = []distribution{
	{"lognormal, sigma 0.5", lognormal(0.05, 0.5)},
	{"lognormal, sigma 1.0", lognormal(0.05, 1)},
	{"lognormal, sigma 1.5", lognormal(0.05, 1.5)},
	{"lognormal, sigma 2.0", lognormal(0.05, 2)},
	{"bimodal, 1% take 5 s", bimodal(0.01)},
	{"bimodal, 10% take 5 s", bimodal(0.1)},
	{"Pareto, alpha 1.5", pareto(0.02, 1.5)},
}

func lognormal(median, sigma float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 { return median * math.Exp(sigma*rng.NormFloat64()) }
}

// bimodal requests take some 50 ms, and the slow share of them some 5 s.
func bimodal(slow float64) func(*rand.Rand) float64 {
	short, long := lognormal(0.05, 0.2), lognormal(5, 0.2)
	return func(rng *rand.Rand) float64 {
		if rng.Float64() < slow {
			return long(rng)
		}
		return short(rng)
	}
}

func pareto(least, alpha float64) func(*rand.Rand) float64 {
	return func(rng *rand.Rand) float64 { return least * math.Pow(1-rng.Float64(), -1/alpha) }
}
