package rotation

import (
	"net/netip"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

const tick = 100 * time.Millisecond

// every is a train of events from first to last, period apart.
func every(period, first, last time.Duration) []time.Duration {
	var at []time.Duration
	for t := first; t <= last; t += period {
		at = append(at, t)
	}
	return at
}

func join(trains ...[]time.Duration) []time.Duration {
	var all []time.Duration
	for _, t := range trains {
		all = append(all, t...)
	}
	return all
}

// world is a pod in virtual time.
type world struct {
	settings Settings
	// past is what PassiveOpens says when the hook begins.
	past uint64
	// fresh connections come and go unseen between two looks.
	fresh []time.Duration
	// requests come on one old connection, which had so many before the hook,
	// the last of them lastBefore ago.
	requests     []time.Duration
	pastRequests uint32
	lastBefore   time.Duration
	// slow connections to a port are seen by two looks at least.
	slow     []time.Duration
	slowPort uint16
	// from is when the first look is taken.
	from time.Duration
	// deaf: nothing listens.
	deaf bool
	// noOpens: PassiveOpens cannot be read.
	noOpens bool
}

func until(events []time.Duration, at time.Duration) uint64 {
	n := uint64(0)
	for _, e := range events {
		if e <= at {
			n++
		}
	}
	return n
}

var client = netip.MustParseAddrPort("10.0.0.9:40000")

func local(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), port)
}

func (w world) look(at time.Duration) inflight.Look {
	look := inflight.Look{
		Opens:      w.past + until(w.fresh, at) + until(w.slow, at),
		OpensKnown: !w.noOpens,
	}
	if !w.deaf {
		look.Listeners = []inflight.Listener{{Local: local(8080)}}
	}
	if w.pastRequests > 0 {
		n := uint64(w.pastRequests) + until(w.requests, at)
		look.Conns = append(look.Conns, inflight.Conn{
			ID: 1, Local: local(8080), Remote: client, Received: 100 * n, Sent: 500 * n,
			SegmentsIn: uint32(n), SegmentsOut: uint32(n), SinceReceived: w.lastBefore + at,
		})
	}
	for i, came := range w.slow {
		if age := at - came; age >= 0 && age <= 2*tick {
			sent := uint64(0)
			if age > tick {
				sent = 300
			}
			look.Conns = append(look.Conns, inflight.Conn{
				ID: uint64(100 + i), Local: local(w.slowPort), Remote: client, Received: 90, Sent: sent,
			})
		}
	}
	return look
}

// out is when the pod counts as out of rotation.
func (w world) out(t *testing.T) (time.Duration, Verdict) {
	t.Helper()
	r := New(w.settings)
	for at := w.from; at <= 10*time.Minute; at += tick {
		r.Observe(at, w.look(at))
		if v := r.Verdict(at); v.Out {
			return at, v
		}
	}
	t.Fatal("in rotation for ten minutes")
	return 0, Verdict{}
}

func TestOut(t *testing.T) {
	const s = time.Second
	base := Settings{Min: 5 * s, Max: 30 * s, Ports: []int32{8080}, Age: 1000 * s}
	long := base
	long.Age = 24 * time.Hour
	probed := base
	probed.Probes = []Probe{{Port: 8080, Period: 10 * s}}
	longProbed := probed
	longProbed.Age = 24 * time.Hour
	twice := longProbed
	twice.Probes = []Probe{{Port: 8080, Period: 10 * s}, {Port: 8080, Period: 5 * s, PastOnly: true}}
	blind := base
	blind.Blind = true
	unknown := base
	unknown.Age = 0
	dayAndNight := long
	everySecond := base
	everySecond.Probes = []Probe{{Port: 8080, Period: s}}
	late := every(s, s/2, 60*s)
	for i := range late {
		late[i] += time.Duration(i%2) * 400 * time.Millisecond
	}

	tests := map[string]struct {
		world    world
		earliest time.Duration
		latest   time.Duration
	}{
		"busy, stops at once: the least time": {
			world{settings: base, past: 100_000, fresh: every(10*time.Millisecond, 0, s)}, 5 * s, 5 * s,
		},
		"busy, stops after 8 s: two seconds of silence": {
			world{settings: base, past: 100_000, fresh: every(10*time.Millisecond, 0, 8*s)}, 10 * s, 10*s + tick,
		},
		"busy without end: the longest time": {
			world{settings: base, past: 100_000, fresh: every(10*time.Millisecond, 0, 60*s)}, 30 * s, 30 * s,
		},
		"one per second, stops after 3 s: some ten missing": {
			world{settings: base, past: 1000, fresh: every(s, s/2, 3*s)}, 11 * s, 13 * s,
		},
		"one in five seconds, balancer stops after 20 s: loses nothing": {
			world{settings: base, past: 200, fresh: every(5*s, 3*s, 20*s)}, 20 * s, 30 * s,
		},
		"one in five seconds with probes, balancer stops after 20 s": {
			world{settings: probed, past: 200 + 100, fresh: join(every(5*s, 3*s, 20*s), every(10*s, 7*s, 60*s))}, 20 * s, 30 * s,
		},
		"one in five seconds at night, hundreds at day": {
			world{settings: dayAndNight, past: 8_640_000, fresh: every(5*s, s, 20*s)}, 20 * s, 30 * s,
		},
		"one in five seconds on an old connection": {
			world{settings: base, past: 1, pastRequests: 200, lastBefore: 2 * s, requests: every(5*s, 3*s, 20*s)}, 20 * s, 30 * s,
		},
		"busy on an old connection, stops after 1 s": {
			world{settings: base, past: 1, pastRequests: 100_000, lastBefore: 10 * time.Millisecond, requests: every(20*time.Millisecond, 0, s)}, 5 * s, 5 * s,
		},
		"busy on an old connection, stops after 9 s": {
			world{settings: base, past: 1, pastRequests: 100_000, lastBefore: 10 * time.Millisecond, requests: every(20*time.Millisecond, 0, 9*s)}, 11 * s, 11*s + tick,
		},
		"busy on an old connection without end": {
			world{settings: base, past: 1, pastRequests: 100_000, requests: every(20*time.Millisecond, 0, 60*s)}, 30 * s, 30 * s,
		},
		"an old connection, silent since long before": {
			world{settings: base, past: 1, pastRequests: 100_000, lastBefore: 20 * s}, 30 * s, 30 * s,
		},
		"probes only, for long": {
			world{settings: longProbed, past: 8640, fresh: every(10*s, 2*s, 60*s)}, 5 * s, 5 * s,
		},
		"readiness and liveness probes only, for long": {
			world{settings: twice, past: 8640 + 17280, fresh: every(10*s, 2*s, 60*s)}, 5 * s, 5 * s,
		},
		"probes that are seen": {
			world{settings: longProbed, past: 8640, slow: every(10*s, 2*s, 60*s), slowPort: 8080}, 5 * s, 5 * s,
		},
		// The first request is taken for a probe, so the probe at 4 s counts.
		"busy with probes, stops at once": {
			world{settings: probed, past: 100_000, fresh: join(every(10*time.Millisecond, 0, s), every(10*s, 4*s, 60*s))}, 5 * s, 6 * s,
		},
		"busy, stops at once, with a probe per second that is late now and then": {
			world{settings: everySecond, past: 100_000, fresh: every(10*time.Millisecond, 0, s), slow: late, slowPort: 8080}, 5 * s, 5*s + tick,
		},
		"never traffic, young pod: nothing is known": {
			world{settings: base}, 30 * s, 30 * s,
		},
		"never traffic, old pod": {
			world{settings: long}, 5 * s, 5 * s,
		},
		"never traffic until a request comes": {
			world{settings: long, fresh: []time.Duration{2 * s}}, 30 * s, 30 * s,
		},
		"nothing listens": {
			world{settings: base, past: 10, deaf: true}, 5 * s, 5 * s,
		},
		"busy, scraped on another port each 15 s": {
			world{settings: base, past: 100_000, fresh: every(10*time.Millisecond, 0, s), slow: every(15*s, 4*s, 60*s), slowPort: 9090}, 5 * s, 5 * s,
		},
		"never traffic, scraped on another port each 30 s by a connection that stays": {
			world{settings: long, slow: every(30*s, 4*s, 60*s), slowPort: 9090}, 5 * s, 5 * s,
		},
		"busy, scraped on its own port each 15 s": {
			world{settings: base, past: 100_000, fresh: every(10*time.Millisecond, 0, s), slow: every(15*s, 4*s, 60*s), slowPort: 8080}, 6 * s, 6*s + 2*tick,
		},
		"hardly used, scraped on its own port: not to be told from traffic": {
			world{settings: base, past: 66, slow: every(15*s, 4*s, 60*s), slowPort: 8080}, 30 * s, 30 * s,
		},
		"blind": {
			world{settings: blind, past: 100_000}, 30 * s, 30 * s,
		},
		"neither age nor enough traffic known": {
			world{settings: unknown, past: 100_000, fresh: []time.Duration{s}}, 30 * s, 30 * s,
		},
		"age not known, busy": {
			world{settings: unknown, past: 100_000, fresh: every(10*time.Millisecond, 0, s)}, 5 * s, 5 * s,
		},
		"PassiveOpens not to be read": {
			world{settings: base, noOpens: true, past: 100_000}, 30 * s, 30 * s,
		},
		"first look late: silence counts from it": {
			world{settings: base, past: 100_000, from: 12 * s}, 14 * s, 14 * s,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, verdict := tc.world.out(t)
			if got < tc.earliest || got > tc.latest {
				t.Errorf("out after %v, want %v to %v; %+v", got, tc.earliest, tc.latest, verdict)
			}
		})
	}
}

// A request that is taken for a probe makes the probe itself count.
func TestProbesHideNothingForLong(t *testing.T) {
	p := newProbes([]Probe{{Port: 8080, Period: 10 * time.Second}, {Port: 8080, Period: time.Second, PastOnly: true}})
	arrivals := []struct {
		at   time.Duration
		port uint16
		want bool
	}{
		{1 * time.Second, 8080, true},     // a request, taken for the probe
		{4 * time.Second, anyPort, false}, // the probe: counts
		{5 * time.Second, 8080, false},
		{14 * time.Second, 9090, false}, // another port's
		{14 * time.Second, 8080, true},
		{15 * time.Second, anyPort, false},
		{23 * time.Second, anyPort, true}, // a little early
	}
	for _, a := range arrivals {
		if got := p.explains(a.at, a.port); got != a.want {
			t.Errorf("at %v on port %d: explained %v, want %v", a.at, a.port, got, a.want)
		}
	}
}

// An upload is one request, however many looks it takes.
func TestUploadIsOneArrival(t *testing.T) {
	r := New(Settings{Min: time.Second, Max: time.Minute, Ports: []int32{8080}})
	c := inflight.Conn{ID: 1, Local: local(8080), Remote: client, Received: 100, Sent: 100}
	listeners := []inflight.Listener{{Local: local(8080)}}
	for i := range 50 {
		r.Observe(time.Duration(i)*tick, inflight.Look{Conns: []inflight.Conn{c}, Listeners: listeners})
		c.Received += 1000
		if i == 0 {
			c.Sent += 100 // the response before
		}
	}
	if got := r.Verdict(5 * time.Second).Arrivals; got != 1 {
		t.Errorf("%d arrivals, want 1", got)
	}
}

func TestSocketsThatCannotBeRead(t *testing.T) {
	r := New(Settings{Min: time.Second, Max: 10 * time.Second, Age: 24 * time.Hour})
	r.Failed()
	if v := r.Verdict(9 * time.Second); v.Out || v.Next != 10*time.Second {
		t.Errorf("without any look: %+v", v)
	}
	if v := r.Verdict(10 * time.Second); !v.Out {
		t.Errorf("at its longest: %+v", v)
	}
	r.Observe(0, inflight.Look{OpensKnown: true})
	if v := r.Verdict(5 * time.Second); v.Out {
		t.Errorf("with looks that stopped: %+v", v)
	}
}
