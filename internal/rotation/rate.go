package rotation

import (
	"fmt"
	"math"
	"time"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

const (
	// neverFactor: a pod that got nothing for so many times the longest
	// propagation will hardly get its first request within it.
	neverFactor = 100

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
	// lastBefore is how long before the hook a connection that still exists
	// got something; only if recent.
	lastBefore time.Duration
	recent     bool
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
		if !r.recent || c.SinceReceived < r.lastBefore {
			r.lastBefore, r.recent = c.SinceReceived, true
		}
		// A request is at least one segment each way; the first one came with
		// its connection.
		requests += max(0, float64(min(c.SegmentsIn, c.SegmentsOut))-1)
	}
	if !look.OpensKnown || s.Age <= 0 {
		return r
	}
	age := s.Age.Seconds()
	arrivals := foreignOpens(s, look) + requests
	r.known = true
	r.never = arrivals == 0 && !r.recent && s.Age >= neverFactor*s.Max
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
	perSecond, known := r.mean()
	switch {
	case r.rate.never && r.arrivals == 0:
		return BaseQuiet, "there never was traffic"
	case !known:
		return 0, "the rate of traffic is not known"
	}
	seconds := quietArrivals / perSecond
	if seconds > math.MaxInt32 {
		return 0, "traffic is too rare"
	}
	quiet := max(BaseQuiet, time.Duration(seconds*float64(time.Second)))
	return quiet, fmt.Sprintf("silent for %.1f s at %.2g/s", quiet.Seconds(), perSecond)
}

// mean is the lower of the rate before the hook and the one since: an
// overestimate would let silence pass for the end of traffic.
func (r *Rotation) mean() (perSecond float64, known bool) {
	since, sinceKnown := r.observed()
	switch {
	case r.rate.known && sinceKnown:
		return min(r.rate.perSecond, since), true
	case r.rate.known:
		return r.rate.perSecond, true
	case sinceKnown && r.arrivals >= fewArrivals:
		return since, true
	}
	return 0, false
}

// observed is the rate from the hook's start to the last arrival: the silence
// after it is what is to be judged, and has no part in it. Where nothing came
// since the hook began, the silence before it, while the pod was in rotation,
// says how rare traffic is; only connections that still exist can tell.
func (r *Rotation) observed() (perSecond float64, known bool) {
	switch {
	case r.arrivals > 0:
		return float64(r.arrivals) / r.lastArrival.Seconds(), true
	case r.rate.recent && r.rate.lastBefore > 0:
		return 1 / r.rate.lastBefore.Seconds(), true
	}
	return 0, false
}
