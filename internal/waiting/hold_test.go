package waiting

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
)

const (
	ms = time.Millisecond
	s  = time.Second
)

// world is a pod in virtual time: what an agent would find in it.
type world struct {
	facts Facts
	// busyUntil is when the last response goes; traffic comes until then too
	// if trafficUntil says so.
	busyUntil    time.Duration
	trafficUntil time.Duration
	// owing is how many connections owe a response at a time, instead of busyUntil.
	owing func(at time.Duration) int64
	// endpoint answers at a time, after a while; wait is the waitSeconds.
	endpoint func(at time.Duration, wait int) (drainstatus.Reading, time.Duration)
	// status is what an endpoint with long-poll tells at a time, instead of endpoint.
	status func(at time.Duration) drainstatus.Status
	// toldAt is when the workload was told to drain, or could not be.
	toldAt time.Duration
	// alive says how a liveness probe goes.
	alive func(at time.Duration) ProbeResult
	// probeTakes is how long a liveness probe takes; at least 10 ms.
	probeTakes time.Duration
	// wakes is when the agent gets to do anything at all, on a machine with too
	// much to do.
	wakes time.Duration
	// sockets fail from then on.
	socketsFail time.Duration
	// the listener and the connections are gone from then on.
	goneAt time.Duration
	// hookUntil is how long the container's own hook runs first.
	hookUntil time.Duration
	// endedAt ends the hold from outside.
	releasedAt, stoppedAt time.Duration
}

func (w world) look(at time.Duration) inflight.Look {
	local := netip.MustParseAddrPort("10.0.0.2:8080")
	look := inflight.Look{OpensKnown: true, Opens: 100_000}
	if w.goneAt > 0 && at >= w.goneAt {
		return look
	}
	look.Opens += uint64(min(at, w.trafficUntil) / (10 * ms))
	look.Listeners = []inflight.Listener{{Local: local}}
	if w.owing != nil {
		for id := range w.owing(at) {
			look.Conns = append(look.Conns, inflight.Conn{ID: uint64(id) + 1, Local: local, Accepted: true, Received: 100, SinceReceived: at + ms})
		}
		return look
	}
	c := inflight.Conn{ID: 1, Local: local, Accepted: true, Received: 100, SinceReceived: at + ms}
	if at >= w.busyUntil {
		c.Sent, c.SinceSent = 500, at-w.busyUntil
	}
	look.Conns = []inflight.Conn{c}
	return look
}

type pending struct {
	at time.Duration
	do func()
}

// run plays a hold, and returns its result and how often the endpoint was asked.
func (w world) run(t *testing.T, spec hold.Spec) (hold.Result, int) {
	t.Helper()
	if w.facts.Age == 0 {
		w.facts.Age = 1000 * s
	}
	h := New(spec, w.facts)
	var answer, probed *pending
	if w.hookUntil > 0 {
		h.HookBegan()
	}
	asks := 0
	for at, steps := w.wakes, 0; ; steps++ {
		if steps > 1_000_000 || at > time.Hour {
			t.Fatalf("no end in sight at %v", at)
		}
		w.outside(h, at)
		step := h.Next(at)
		if step.Result != nil {
			return *step.Result, asks
		}
		if at >= step.Look {
			w.take(h, at)
			step = h.Next(at)
			if step.Result != nil {
				return *step.Result, asks
			}
		}
		next := min(step.Wake, step.Look)
		if answer == nil && at >= step.Ask {
			asks++
			h.Asked(at)
			reading, takes := w.answer(at, step)
			answer = &pending{at + takes, nil}
			answer.do = func() { h.Answered(answer.at, reading); answer = nil }
		}
		if probed == nil && at >= step.Probe {
			result, takes := w.alive(at), max(w.probeTakes, 10*ms)
			probed = &pending{at + takes, nil}
			probed.do = func() { h.Probed(probed.at, takes, result); probed = nil }
		}
		due := []*pending{answer, probed}
		if answer == nil {
			next = min(next, step.Ask)
		}
		if probed == nil {
			next = min(next, step.Probe)
		}
		for _, p := range due {
			if p != nil {
				next = min(next, p.at)
			}
		}
		for _, event := range []time.Duration{w.hookUntil, w.releasedAt, w.stoppedAt, w.toldAt} {
			if event > at {
				next = min(next, event)
			}
		}
		at = max(next, at+ms/10)
		for _, p := range due {
			if p != nil && at >= p.at {
				p.do()
			}
		}
	}
}

func (w world) outside(h *Hold, at time.Duration) {
	if w.hookUntil > 0 && at >= w.hookUntil {
		h.HookEnded()
	}
	if w.releasedAt > 0 && at >= w.releasedAt {
		h.Released(at)
	}
	if w.toldAt > 0 && at >= w.toldAt {
		h.Told(at)
	}
	if w.stoppedAt > 0 && at >= w.stoppedAt {
		h.Stopped(at)
	}
}

func (w world) take(h *Hold, at time.Duration) {
	if w.socketsFail > 0 && at >= w.socketsFail {
		h.LookFailed(at, "interrupted")
		return
	}
	h.Look(at, w.look(at), 200*time.Microsecond)
}

func busy(n int64) drainstatus.Reading {
	return drainstatus.Reading{State: drainstatus.Busy, InFlight: n, Reason: "3 in flight, 0 long-lived"}
}

func drained() drainstatus.Reading { return drainstatus.Reading{State: drainstatus.Drained} }

// polled answers at once.
func polled(until time.Duration) func(time.Duration, int) (drainstatus.Reading, time.Duration) {
	return func(at time.Duration, _ int) (drainstatus.Reading, time.Duration) {
		if at < until {
			return busy(3), ms
		}
		return drained(), ms
	}
}

// longPolled holds its answer until drained.
func longPolled(until time.Duration) func(time.Duration, int) (drainstatus.Reading, time.Duration) {
	return func(at time.Duration, wait int) (drainstatus.Reading, time.Duration) {
		left := max(0, until-at)
		if held := time.Duration(wait) * s; left > held {
			return busy(3), held + ms
		}
		return drained(), left + ms
	}
}

// failing cannot be read, after so long each time, from a time on.
func failing(takes, from time.Duration) func(time.Duration, int) (drainstatus.Reading, time.Duration) {
	return func(at time.Duration, wait int) (drainstatus.Reading, time.Duration) {
		if at < from {
			return busy(3), ms
		}
		if takes >= s { // hung: the reader's timeout
			return drainstatus.NotReadable("garbage"), takes + time.Duration(wait)*s
		}
		return drainstatus.NotReadable("garbage"), takes
	}
}

func spec(change func(*hold.Spec)) hold.Spec {
	sp := hold.Spec{
		Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained,
		PropagationSeconds: 5, PropagationMaxSeconds: 30, BoundSeconds: 60, ServePorts: []int32{8080},
	}
	change(&sp)
	return sp
}

func http(sp *hold.Spec) {
	sp.HTTP = &hold.HTTP{Port: 8080, Path: "/", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body"}
}

func tcp(sp *hold.Spec) { sp.TCP = &hold.TCP{IdleSeconds: 2} }

func TestHold(t *testing.T) {
	type expectation struct {
		outcome  string
		earliest time.Duration
		latest   time.Duration
		inFlight int64
		reason   string // part of it
		maxAsks  int
	}
	tests := map[string]struct {
		spec  hold.Spec
		world world
		want  expectation
	}{
		"http, drained when out of rotation": {
			spec(http), world{endpoint: longPolled(0)},
			expectation{hold.OutcomeDrained, 5 * s, 5*s + 50*ms, 0, "", 2},
		},
		"http, long-polled: released at once": {
			spec(http), world{endpoint: longPolled(17 * s)},
			expectation{hold.OutcomeDrained, 17 * s, 17*s + 100*ms, 0, "", 5},
		},
		"http, polled: released within the period": {
			spec(http), world{endpoint: polled(17*s + 500*ms)},
			expectation{hold.OutcomeDrained, 17*s + 500*ms, 18*s + 600*ms, 0, "", 17},
		},
		"http, drained once and busy again": {
			spec(http), world{endpoint: func(at time.Duration, _ int) (drainstatus.Reading, time.Duration) {
				if at > 5*s+5*ms && at < 9*s {
					return busy(1), ms
				}
				return drained(), ms
			}},
			expectation{hold.OutcomeDrained, 9 * s, 10*s + 100*ms, 0, "", 10},
		},
		"http, busy to the bound": {
			spec(http), world{endpoint: polled(time.Hour)},
			expectation{hold.OutcomeTimedOut, 60 * s, 60 * s, 3, "3 in flight", 60},
		},
		"http, gone: never before rotation is over": {
			spec(http), world{endpoint: failing(ms, 0)},
			expectation{hold.OutcomeUnknown, 11 * s, 12 * s, 0, "garbage", 8},
		},
		"http, hung": {
			spec(http), world{endpoint: failing(2*s, 0)},
			expectation{hold.OutcomeUnknown, 15 * s, 20 * s, 0, "garbage", 5},
		},
		"http, hung while long-polled": {
			spec(http), world{endpoint: failing(2*s, 5*s+1)},
			expectation{hold.OutcomeUnknown, 25 * s, 32 * s, 3, "garbage", 7},
		},
		"http, fails now and then": {
			spec(http), world{endpoint: func(at time.Duration, _ int) (drainstatus.Reading, time.Duration) {
				if at > 20*s {
					return drained(), ms
				}
				if int(at/s)%4 == 0 {
					return busy(1), ms
				}
				return drainstatus.NotReadable("garbage"), ms
			}},
			expectation{hold.OutcomeDrained, 20 * s, 22 * s, 0, "", 25},
		},
		"http, metric: never long-polled": {
			spec(func(sp *hold.Spec) { http(sp); sp.HTTP.DrainedWhen = "Metric" }),
			world{endpoint: func(at time.Duration, wait int) (drainstatus.Reading, time.Duration) {
				if wait > 0 {
					return drainstatus.NotReadable("unknown parameter"), ms
				}
				return polled(8*s)(at, wait)
			}},
			expectation{hold.OutcomeDrained, 8 * s, 9*s + 100*ms, 0, "", 6},
		},
		"http, traffic goes on": {
			spec(http), world{endpoint: longPolled(0), trafficUntil: 12 * s},
			expectation{hold.OutcomeDrained, 14 * s, 14*s + 200*ms, 0, "", 2},
		},
		"http, sockets refused": {
			spec(http), world{endpoint: longPolled(0), facts: Facts{SocketsRefused: "refused"}},
			expectation{hold.OutcomeDrained, 30 * s, 30*s + 50*ms, 0, "", 2},
		},
		"http, bound before rotation is over": {
			spec(func(sp *hold.Spec) { http(sp); sp.BoundSeconds = 3 }), world{endpoint: longPolled(0)},
			expectation{hold.OutcomeTimedOut, 3 * s, 3 * s, 0, "still in rotation", 0},
		},
		"tcp, drained when out of rotation": {
			spec(tcp), world{},
			expectation{hold.OutcomeDrained, 5 * s, 5*s + 50*ms, 0, "", 0},
		},
		"tcp, last response late": {
			spec(tcp), world{busyUntil: 20 * s},
			expectation{hold.OutcomeDrained, 22 * s, 22*s + 100*ms, 0, "", 0},
		},
		"tcp, busy to the bound": {
			spec(tcp), world{busyUntil: time.Hour},
			expectation{hold.OutcomeTimedOut, 60 * s, 60 * s, 1, "1 connections in flight", 0},
		},
		"tcp, sockets refused": {
			spec(tcp), world{facts: Facts{SocketsRefused: "operation not permitted"}},
			expectation{hold.OutcomeUnknown, 30 * s, 30 * s, 0, "not permitted", 0},
		},
		"tcp, sockets fail on the way": {
			spec(tcp), world{busyUntil: time.Hour, socketsFail: 20 * s},
			expectation{hold.OutcomeUnknown, 23 * s, 30 * s, 1, "interrupted", 0},
		},
		"tcp on the host's network, no ports": {
			spec(func(sp *hold.Spec) { tcp(sp); sp.Blind, sp.ServePorts = true, nil }), world{},
			expectation{hold.OutcomeUnknown, 30 * s, 30 * s, 0, "not the pod's", 0},
		},
		"gets to do nothing until rotation is over: looks first": {
			spec(tcp), world{wakes: 35 * s, busyUntil: 40 * s},
			expectation{hold.OutcomeDrained, 40 * s, 43 * s, 0, "", 0},
		},
		"out of rotation is enough": {
			spec(func(sp *hold.Spec) { tcp(sp); sp.ReleaseWhen = hold.ReleaseWhenOutOfRotation }), world{busyUntil: time.Hour},
			expectation{hold.OutcomeDrained, 5 * s, 5*s + 200*ms, 1, "", 0},
		},
		"no status: rotation is all": {
			spec(func(*hold.Spec) {}), world{},
			expectation{hold.OutcomeDrained, 5 * s, 5*s + 200*ms, 0, "", 0},
		},
		"own hook first": {
			spec(http), world{endpoint: longPolled(0), hookUntil: 8 * s},
			expectation{hold.OutcomeDrained, 8 * s, 8*s + 100*ms, 0, "", 2},
		},
		"own hook first, without end": {
			spec(http), world{endpoint: longPolled(0), hookUntil: time.Hour},
			expectation{hold.OutcomeTimedOut, 60 * s, 60 * s, 0, "own hook", 0},
		},
		"own hook last sleeps: the bound is earlier": {
			spec(func(sp *hold.Spec) { tcp(sp); sp.Existing = &hold.ExistingHook{Last: true, SleepSeconds: 12} }), world{busyUntil: time.Hour},
			expectation{hold.OutcomeTimedOut, 48 * s, 48 * s, 1, "1 connections", 0},
		},
		"released by hand": {
			spec(tcp), world{busyUntil: time.Hour, releasedAt: 2 * s},
			expectation{hold.OutcomeSkipped, 2 * s, 2 * s, 1, "by hand", 0},
		},
		"told to end": {
			spec(tcp), world{busyUntil: time.Hour, stoppedAt: 2 * s},
			expectation{hold.OutcomeUnknown, 2 * s, 2 * s, 1, "told to end", 0},
		},
		"follow: gone with the app": {
			spec(func(sp *hold.Spec) { sp.Role = hold.RoleFollow }), world{goneAt: 7 * s},
			expectation{hold.OutcomeDrained, 7 * s, 7*s + 300*ms, 0, "", 0},
		},
		"follow: gone with the app, seen without sock_diag": {
			spec(func(sp *hold.Spec) { sp.Role = hold.RoleFollow }), world{goneAt: 7 * s, facts: Facts{SocketsRefused: "refused"}},
			expectation{hold.OutcomeDrained, 7 * s, 7*s + 300*ms, 0, "", 0},
		},
		"follow: the app outlives the bound": {
			spec(func(sp *hold.Spec) { sp.Role = hold.RoleFollow }), world{},
			expectation{hold.OutcomeTimedOut, 58 * s, 58 * s, 0, "has not ended", 0},
		},
		"follow: any port": {
			spec(func(sp *hold.Spec) { sp.Role, sp.ServePorts = hold.RoleFollow, nil }), world{goneAt: 7 * s},
			expectation{hold.OutcomeTimedOut, 58 * s, 58 * s, 0, "has not ended", 0},
		},
		"no time at all": {
			spec(func(sp *hold.Spec) { tcp(sp); sp.BoundSeconds = 0 }), world{},
			expectation{hold.OutcomeTimedOut, 0, 0, 0, "still in rotation", 0},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, asks := tc.world.run(t, tc.spec)
			held := time.Duration(got.HeldSeconds * float64(s))
			if got.Outcome != tc.want.outcome || held < tc.want.earliest || held > tc.want.latest+ms ||
				got.InFlight != tc.want.inFlight || !strings.Contains(got.Reason, tc.want.reason) {
				t.Errorf("got %+v\nwant %+v", got, tc.want)
			}
			if tc.want.outcome == hold.OutcomeDrained && got.Reason != "" {
				t.Errorf("drained with a reason: %q", got.Reason)
			}
			if asks > tc.want.maxAsks {
				t.Errorf("asked %d times, want at most %d", asks, tc.want.maxAsks)
			}
		})
	}
}

// The result, whole, as it goes to the termination log.
func TestResult(t *testing.T) {
	got, _ := world{endpoint: polled(time.Hour)}.run(t, spec(http))
	want := hold.Result{Outcome: hold.OutcomeTimedOut, HeldSeconds: 60, RotationSeconds: 5, InFlight: 3, Trend: hold.TrendSteady, Reason: "3 in flight, 0 long-lived"}
	got.RotationSeconds = float64(int(got.RotationSeconds))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

// Looking at many sockets costs at most 2 % of a core.
func TestLooksAreSpacedByTheirCost(t *testing.T) {
	tests := map[string]struct {
		spec hold.Spec
		cost time.Duration
		want time.Duration
	}{
		"tcp, cheap":      {spec(tcp), 100 * time.Microsecond, 20 * ms},
		"http, cheap":     {spec(http), 100 * time.Microsecond, 100 * ms},
		"tcp, expensive":  {spec(tcp), 10 * ms, 500 * ms},
		"tcp, outrageous": {spec(tcp), s, s},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := New(tc.spec, Facts{})
			h.Look(0, world{}.look(0), tc.cost)
			if got := h.Next(0).Look; got != tc.want {
				t.Errorf("next look at %v, want %v", got, tc.want)
			}
		})
	}
}
