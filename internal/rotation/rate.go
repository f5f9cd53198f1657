package rotation

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

const (
	// neverFactor: a pod that got nothing for so many times the longest
	// propagation will hardly get its first request within it.
	neverFactor = 100

	// pastWeight is how many arrivals the mean over the pod's life is worth: it
	// may be several times what comes now, at night.
	pastWeight = 4

	// missing is how many arrivals must be missing at the rate that was seen
	// last, which few arrivals may tell.
	missing = 5

	// fewArrivals is how many arrivals a rate of its own takes where the past
	// is not known.
	fewArrivals = 5

	// probesOff is how far the number of probes in the past may be off, as a
	// share and in probes.
	probesOff      = 0.02
	probesOffCount = 2
)

// rate is what the first look tells of the traffic before the hook.
type rate struct {
	// perSecond is the mean over the pod's life; only if known.
	perSecond float64
	known     bool
	// never: nothing but probes has ever come, for a long time.
	never bool
	// before the hook, by so much, each connection that still exists got
	// something last; the latest first.
	before []time.Duration
}

// pastRate estimates the mean rate of connections and requests over the pod's
// life from its first look. Where it errs, it errs low: requests of
// connections that are gone are missing.
func pastRate(s Settings, look inflight.Look) rate {
	var r rate
	var requests float64
	for _, c := range look.Conns {
		if !inflight.Serves(s.Ports, c.Local.Port()) || c.Payload() == 0 {
			continue
		}
		r.before = append(r.before, c.SinceReceived)
		// A request is at least one segment each way; the first one came with
		// its connection.
		requests += max(0, float64(min(c.SegmentsIn, c.SegmentsOut))-1)
	}
	slices.Sort(r.before)
	if !look.OpensKnown || s.Age <= 0 {
		return r
	}
	age := s.Age.Seconds()
	arrivals := foreignOpens(s, look) + requests
	r.known = true
	r.never = arrivals == 0 && len(r.before) == 0 && s.Age >= neverFactor*s.Max
	// With nothing seen, one could have been about to come.
	r.perSecond = max(1, arrivals) / age
	return r
}

// foreignOpens is the number of accepted connections that were not probes.
func foreignOpens(s Settings, look inflight.Look) float64 {
	var expected float64
	for _, p := range s.Probes {
		if p.Period > 0 {
			expected += s.Age.Seconds() / p.Period.Seconds()
		}
	}
	rest := float64(look.Opens) - expected
	if rest <= probesOff*expected+probesOffCount {
		return 0
	}
	return rest
}

// quiet is how long silence must last, 0 for ever; and why.
func (r *Rotation) quiet() (time.Duration, string) {
	if !r.listening && r.arrivals == 0 {
		return BaseQuiet, "nothing listens"
	}
	if r.rate.never && r.arrivals == 0 {
		return BaseQuiet, "there never was traffic"
	}
	if !r.rate.known && r.arrivals < fewArrivals {
		return 0, "the rate of traffic is not known"
	}
	seconds, perSecond := math.Inf(1), 0.0
	for _, e := range r.evidence() {
		if s := silence(e, r.settings.Max.Seconds()); s < seconds {
			seconds, perSecond = s, e.arrivals/e.within
		}
	}
	// However busy the pod was in the mean: what is seen now may be rare.
	if now, known := r.now(); known && missing/now > seconds {
		seconds, perSecond = missing/now, now
	}
	if seconds > math.MaxInt32 {
		return 0, "traffic is too rare"
	}
	quiet := max(BaseQuiet, time.Duration(seconds*float64(time.Second)))
	return quiet, fmt.Sprintf("silent for %.1f s at %.2g/s", quiet.Seconds(), perSecond)
}

// now is the rate that was seen last, from however little.
func (r *Rotation) now() (perSecond float64, known bool) {
	switch {
	case r.arrivals > 0:
		return float64(r.arrivals) / r.lastArrival.Seconds(), true
	case len(r.rate.before) > 0 && r.rate.before[0] > 0:
		return 1 / r.rate.before[0].Seconds(), true
	}
	return 0, false
}

// evidence is that so many arrivals came within so many seconds.
type evidence struct{ arrivals, within float64 }

// silence is how long, in seconds, nothing must come to say that nothing comes
// any more, where the rate is known no better than by that evidence.
//
// If arrivals come at random, at a rate with a gamma distribution of the shape
// arrivals and the rate within, the next gap is longer than s with the
// probability (within / (within + s))^arrivals. There is a gap after each
// arrival until the longest propagation is over, so the probability of an error
// is divided among as many as are expected.
func silence(e evidence, longest float64) float64 {
	gaps := max(1, e.arrivals/e.within*longest)
	return e.within * math.Expm1((quietArrivals+math.Log(gaps))/e.arrivals)
}

// evidence that there is of the rate: the arrivals from the hook's start to the
// last one, since the silence after it is what is to be judged; the mean over
// the pod's life, for what it is worth; and the last arrival on each of the
// connections that exist, as far back as makes the most of it.
func (r *Rotation) evidence() []evidence {
	e := evidence{float64(r.arrivals), r.lastArrival.Seconds()}
	if r.rate.known {
		e.arrivals += pastWeight
		e.within += pastWeight / r.rate.perSecond
	}
	all := []evidence{e}
	for i, before := range r.rate.before {
		all = append(all, evidence{e.arrivals + float64(i+1), e.within + before.Seconds()})
	}
	return all
}
