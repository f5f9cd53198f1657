package simulation

import (
	"math/rand/v2"
	"time"
)

// outcome of many drains under one budget.
type outcome struct {
	drains, inFlight, cut, drainsCut int
	// heldSeconds in all: until the last request in flight was done or the
	// budget spent.
	heldSeconds float64
}

func (o *outcome) add(left []float64, budget time.Duration) {
	held, cut := 0.0, 0
	for _, seconds := range left {
		if seconds > budget.Seconds() {
			seconds = budget.Seconds()
			cut++
		}
		held = max(held, seconds)
	}
	o.drains++
	o.inFlight += len(left)
	o.cut += cut
	o.heldSeconds += held
	if cut > 0 {
		o.drainsCut++
	}
}

// cutPerThousand requests per 1,000 drains.
func (o *outcome) cutPerThousand() float64 { return 1000 * float64(o.cut) / float64(o.drains) }

// cutShare of the requests in flight, in percent.
func (o *outcome) cutShare() float64 { return 100 * float64(o.cut) / float64(max(o.inFlight, 1)) }

// drainsCutShare is the share of drains with a request cut, in percent.
func (o *outcome) drainsCutShare() float64 { return 100 * float64(o.drainsCut) / float64(o.drains) }

func (o *outcome) meanHeld() float64 { return o.heldSeconds / float64(o.drains) }

// inFlight plays the arrivals of the minute before a pod goes out of rotation,
// perSecond on average and each by itself (Poisson), and returns how many
// seconds those that are not done yet still need.
func inFlight(rng *rand.Rand, d distribution, perSecond float64, left []float64) []float64 {
	left = left[:0]
	for age := rng.ExpFloat64() / perSecond; age < timeout; age += rng.ExpFloat64() / perSecond {
		if seconds := d.seconds(rng); seconds > age {
			left = append(left, seconds-age)
		}
	}
	return left
}
