// Package rotation works out from looks at a pod's sockets whether anything
// still sends it new work. It is pure: times are durations since the hook
// began, and internal/sockets takes the looks.
//
// docs/agent.md describes what counts as traffic and how long silence must last.
package rotation

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

const (
	// BaseQuiet is the least time without traffic that means anything.
	BaseQuiet = 2 * time.Second

	// quietArrivals is how many arrivals must at least be missing; the more of
	// them one is a chance for an error, the more. With it at most some 1 % of
	// pods are let go too early, and some 3 % where only a third of the mean
	// comes (simulation_test.go).
	quietArrivals = 3

	// staleAfter is how old the last good look may be.
	staleAfter = 3 * time.Second
)

// Settings of an observation.
type Settings struct {
	// Min is the least, Max the most time in rotation.
	Min, Max time.Duration
	// Blind: the sockets tell nothing; wait for Max.
	Blind bool
	// Ports on which work arrives; none means all.
	Ports []int32
	// Probes connect afresh at every period, and are not traffic.
	Probes []Probe
	// Age is how long the pod's network namespace exists, at the hook's
	// start; 0 if it is not known. Too long is the safe side.
	Age time.Duration
}

// Probe is something that connects to the pod once per period.
type Probe struct {
	Port   uint16
	Period time.Duration
	// PastOnly: it stopped when the hook began, as liveness probes do.
	PastOnly bool
}

// Verdict says whether the pod is in rotation.
type Verdict struct {
	Out bool
	// Next is when, at the earliest, the verdict can change if nothing comes.
	Next time.Duration
	// Quiet is how long silence must last, 0 where no silence is long enough.
	Quiet time.Duration
	// Last is when traffic was last seen; 0 if never since the hook began.
	Last time.Duration
	// Arrivals counts new connections and requests since the hook began.
	Arrivals int64
	// Why in a few words.
	Why string
}

type conn struct {
	payload uint64
	// sent is the pod's byte counter when the last request was counted.
	sent  uint64
	probe bool
	seen  uint64
}

// Rotation is the state of an observation.
type Rotation struct {
	settings Settings
	probes   probes

	looked   bool
	began    time.Duration // the first look
	failed   bool
	lastGood time.Duration
	looks    uint64

	conns map[uint64]conn
	opens uint64 // the highest count so far

	arrivals    int64
	lastArrival time.Duration
	rate        rate
	listening   bool
}

// New starts an observation at time 0.
func New(settings Settings) *Rotation {
	return &Rotation{settings: settings, probes: newProbes(settings.Probes), conns: map[uint64]conn{}}
}

// Failed says that a look could not be taken.
func (r *Rotation) Failed() {
	if !r.looked {
		r.failed = true
	}
}

// Observe takes a look. conns are the connections accepted on any port.
func (r *Rotation) Observe(at time.Duration, look inflight.Look) {
	r.lastGood = at
	r.looks++
	r.listening = len(look.Listening(r.settings.Ports)) > 0
	if !r.looked {
		r.baseline(at, look)
		return
	}
	fresh, requests := r.compare(at, look)
	for range r.unseen(look, fresh) {
		if !r.probes.explains(at, anyPort) {
			requests++
		}
	}
	if requests > 0 {
		r.arrivals += requests
		r.lastArrival = at
	}
	r.forget()
}

// baseline takes the first look: it shows no arrivals, only what has been.
func (r *Rotation) baseline(at time.Duration, look inflight.Look) {
	r.looked, r.failed, r.began = true, false, at
	r.opens = look.Opens
	for _, c := range look.Conns {
		r.conns[c.ID] = conn{payload: c.Payload(), sent: c.Sent, seen: r.looks}
	}
	r.rate = pastRate(r.settings, look)
}

// compare finds connections that are new in this look, and counts arrivals:
// new connections on the ports, and requests on those seen before.
func (r *Rotation) compare(at time.Duration, look inflight.Look) (fresh, arrivals int64) {
	for _, c := range look.Conns {
		serves := inflight.Serves(r.settings.Ports, c.Local.Port())
		before, known := r.conns[c.ID]
		now := before
		now.payload, now.seen = c.Payload(), r.looks
		switch {
		case !known:
			fresh++
			now.sent, now.probe = c.Sent, r.probes.explains(at, c.Local.Port())
			if serves && !now.probe {
				arrivals++
			}
		case before.payload == 0:
			// The first request of a connection that was counted when it came.
			now.sent = c.Sent
			if serves && now.payload > 0 && !before.probe {
				r.lastArrival = at
			}
		case now.payload > before.payload && c.Sent != before.sent:
			// Received after something was sent: another request, not more of one.
			now.sent = c.Sent
			if serves && !before.probe {
				arrivals++
			}
		}
		r.conns[c.ID] = now
	}
	return fresh, arrivals
}

// unseen is the number of connections that were accepted since the last look
// and came and went between the two.
func (r *Rotation) unseen(look inflight.Look, fresh int64) int64 {
	if !look.OpensKnown || look.Opens <= r.opens {
		return 0
	}
	accepted := int64(look.Opens - r.opens)
	r.opens = look.Opens
	return max(0, accepted-fresh)
}

func (r *Rotation) forget() {
	for id, c := range r.conns {
		if c.seen != r.looks {
			delete(r.conns, id)
		}
	}
}

// Verdict at a time since the hook began.
func (r *Rotation) Verdict(at time.Duration) Verdict {
	s := r.settings
	limit := max(s.Min, s.Max)
	v := Verdict{Next: limit, Last: r.lastArrival, Arrivals: r.arrivals}
	quiet, why := r.quiet()
	switch {
	case at >= limit:
		v.Out, v.Why = true, "the longest propagation is over"
	case s.Blind:
		v.Why = "the sockets do not show rotation"
	case r.failed || !r.looked || at-r.lastGood > staleAfter:
		v.Why = "the sockets cannot be read"
	case quiet == 0:
		v.Why = why
	default:
		v.Quiet = quiet
		v.Next = min(limit, max(s.Min, max(r.began, r.lastArrival)+quiet))
		v.Out = at >= v.Next
		v.Why = why
	}
	return v
}
