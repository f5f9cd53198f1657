package waiting

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// answer is the endpoint's, after a while.
func (w world) answer(at time.Duration, step Step) (drainstatus.Reading, time.Duration) {
	if w.status == nil {
		return w.endpoint(at, step.AskWait)
	}
	end := at + time.Duration(step.AskWait)*s
	answered := at
	for answered < end && !w.status(answered).Drained(step.LongLived) {
		answered += 5 * ms
	}
	body, err := drainstatus.Encode(w.status(answered))
	if err != nil {
		panic(err)
	}
	return drainstatus.EvaluateBody(drainstatus.Reply{StatusCode: 200, Body: bytes.NewReader(body)}, step.LongLived), answered - at + ms
}

// counts is a workload with requests and with long-lived connections until a
// time each.
func counts(requests, longLived time.Duration) func(time.Duration) drainstatus.Status {
	return func(at time.Duration) drainstatus.Status {
		st := drainstatus.Status{}
		if at < requests {
			st.InFlight = 3
		}
		if at < longLived {
			st.LongLived = 12
		}
		return st
	}
}

// longLivedSpec is a hold with a policy for long-lived connections, whose
// workload is told.
func longLivedSpec(policy string, notice int32) hold.Spec {
	return spec(func(sp *hold.Spec) {
		http(sp)
		sp.Notify = &hold.Notify{Port: 8080, Path: "/drain"}
		if policy != "" {
			sp.LongLived = &hold.LongLived{Policy: policy, NoticeSeconds: notice}
		}
	})
}

func TestLongLived(t *testing.T) {
	const wait, closeAfter = hold.LongLivedWait, hold.LongLivedCloseAfter
	tests := map[string]struct {
		spec             hold.Spec
		world            world
		outcome, reason  string
		earliest, latest time.Duration
		maxAsks          int
	}{
		"Exclude: they have no part": {
			longLivedSpec("", 0), world{status: counts(0, time.Hour), toldAt: ms},
			hold.OutcomeDrained, "", 5 * s, 5*s + 50*ms, 2,
		},
		"Wait: until the last has ended": {
			longLivedSpec(wait, 10), world{status: counts(0, 40*s), toldAt: ms},
			hold.OutcomeDrained, "", 40 * s, 40*s + 100*ms, 10,
		},
		"Wait: for requests, too": {
			longLivedSpec(wait, 10), world{status: counts(20*s, 7*s), toldAt: ms},
			hold.OutcomeDrained, "", 20 * s, 20*s + 100*ms, 10,
		},
		"Wait: to the bound": {
			longLivedSpec(wait, 10), world{status: counts(0, time.Hour), toldAt: ms},
			hold.OutcomeTimedOut, "0 in flight, 12 long-lived", 60 * s, 60 * s, 70,
		},
		"CloseAfter: they ended before": {
			longLivedSpec(closeAfter, 20), world{status: counts(0, 9*s), toldAt: ms},
			hold.OutcomeDrained, "", 9 * s, 9*s + 100*ms, 6,
		},
		"CloseAfter: propagation and notice after it was told": {
			longLivedSpec(closeAfter, 20), world{status: counts(0, time.Hour), toldAt: 2 * s},
			hold.OutcomeDrained, "", 27 * s, 27*s + 100*ms, 20,
		},
		"CloseAfter: requests keep it longer": {
			longLivedSpec(closeAfter, 20), world{status: counts(40*s, time.Hour), toldAt: ms},
			hold.OutcomeDrained, "", 40 * s, 40*s + 100*ms, 20,
		},
		"CloseAfter: rotation keeps it longer": {
			longLivedSpec(closeAfter, 2), world{status: counts(0, time.Hour), toldAt: ms, trafficUntil: 12 * s},
			hold.OutcomeDrained, "", 14 * s, 14*s + 200*ms, 2,
		},
		"CloseAfter: not told yet": {
			longLivedSpec(closeAfter, 5), world{status: counts(0, time.Hour), toldAt: time.Hour},
			hold.OutcomeTimedOut, "0 in flight, 12 long-lived", 60 * s, 60 * s, 70,
		},
		"CloseAfter: nobody can be told": {
			func() hold.Spec { sp := longLivedSpec(closeAfter, 5); sp.Notify = nil; return sp }(),
			world{status: counts(0, time.Hour)},
			hold.OutcomeDrained, "", 10 * s, 10*s + 100*ms, 10,
		},
		"CloseAfter: the endpoint does not long-poll": {
			longLivedSpec(closeAfter, 20), world{endpoint: func(at time.Duration, _ int) (drainstatus.Reading, time.Duration) {
				if at >= 25*s+ms { // as the reader judges it
					return drainstatus.Reading{State: drainstatus.Drained, LongLived: 12}, ms
				}
				return drainstatus.Reading{State: drainstatus.Busy, LongLived: 12, Reason: "12 long-lived"}, ms
			}, toldAt: ms},
			hold.OutcomeDrained, "", 25 * s, 25*s + 100*ms, 30,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, asks := tc.world.run(t, tc.spec)
			held := time.Duration(got.HeldSeconds * float64(s))
			if got.Outcome != tc.outcome || got.Reason != tc.reason || held < tc.earliest || held > tc.latest+ms {
				t.Errorf("got %+v, want %s (%s) after %v to %v", got, tc.outcome, tc.reason, tc.earliest, tc.latest)
			}
			if asks > tc.maxAsks {
				t.Errorf("asked %d times, want at most %d", asks, tc.maxAsks)
			}
		})
	}
}

// Whatever comes and goes: with Wait, a hold that ends as drained ends while no
// long-lived connection is left, and with CloseAfter so, or when the notice is
// over; and never while a request is in flight.
func TestNeverDrainedWhileLongLivedCount(t *testing.T) {
	drained := map[string]int{}
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // to be told again
		policy := []string{hold.LongLivedWait, hold.LongLivedCloseAfter}[seed%2]
		trace := comesAndGoes(random)
		w := world{status: trace, toldAt: time.Duration(random.Int64N(int64(4 * s)))}
		sp := longLivedSpec(policy, 1+random.Int32N(30))
		got, _ := w.run(t, sp)
		if got.Outcome != hold.OutcomeDrained {
			continue
		}
		drained[policy]++
		held := time.Duration(got.HeldSeconds * float64(s))
		over := w.toldAt + time.Duration(sp.PropagationSeconds+sp.LongLived.NoticeSeconds)*s
		if left := trace(held - ms); left.InFlight > 0 || left.LongLived > 0 && (policy == hold.LongLivedWait || held < over) {
			t.Errorf("seed %d, %s: drained after %v with %+v, notice over at %v", seed, policy, held, left, over)
		}
	}
	if drained[hold.LongLivedWait] < 100 || drained[hold.LongLivedCloseAfter] < 100 {
		t.Errorf("drained: %v of 1000 each, too few to say anything", drained)
	}
}

// comesAndGoes is a workload whose counts change every now and then, and stay
// for longer than the time between two looks that must agree.
func comesAndGoes(random *rand.Rand) func(time.Duration) drainstatus.Status {
	const step = 400 * ms
	statuses := make([]drainstatus.Status, time.Minute*2/step)
	var now drainstatus.Status
	ebb := random.IntN(len(statuses))
	for i := range statuses {
		if random.IntN(8) == 0 {
			now = drainstatus.Status{InFlight: max(0, random.Int64N(4)-1), LongLived: max(0, random.Int64N(6)-1)}
		}
		if i > ebb && random.IntN(4) == 0 {
			now = drainstatus.Status{}
		}
		statuses[i] = now
	}
	return func(at time.Duration) drainstatus.Status {
		return statuses[min(int(at/step), len(statuses)-1)]
	}
}

// The age at the beginning counts, whatever reading tells of it and when.
func TestOldestConnection(t *testing.T) {
	told := func(seconds float64) drainstatus.Reading {
		return drainstatus.Reading{State: drainstatus.Busy, InFlight: 1, LongLived: 1, OldestLongLivedSeconds: seconds}
	}
	tests := map[string]struct {
		see  func(*Hold)
		want int64
	}{
		"never seen":               {func(*Hold) {}, 0},
		"at the beginning":         {func(h *Hold) { h.Glanced(0, told(100)) }, 100},
		"a little later":           {func(h *Hold) { h.Glanced(300*ms, told(100.3)) }, 100},
		"the next one is younger":  {func(h *Hold) { h.Glanced(0, told(100)); h.Answered(9*s, told(59)) }, 100},
		"only later":               {func(h *Hold) { h.Answered(9*s, told(59)) }, 50},
		"one that came later":      {func(h *Hold) { h.Answered(9*s, told(3)) }, 0},
		"a part of a second":       {func(h *Hold) { h.Glanced(0, told(0.001)) }, 1},
		"what cannot be read":      {func(h *Hold) { h.Glanced(0, drainstatus.NotReadable("no")) }, 0},
		"longer than anybody sees": {func(h *Hold) { h.Glanced(0, told(1e300)) }, 1e9},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			h := New(longLivedSpec("", 0), Facts{Age: time.Hour})
			tc.see(h)
			h.Released(10 * s)
			if got := h.Next(10 * s).Result; got == nil || got.OldestSeconds != tc.want {
				t.Errorf("got %+v, want %d s", got, tc.want)
			}
		})
	}
}
