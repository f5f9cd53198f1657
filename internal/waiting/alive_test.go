package waiting

import (
	"strings"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// always is a liveness probe with one result.
func always(result ProbeResult) func(time.Duration) ProbeResult {
	return until(Never, result, ProbeAnswered)
}

// until is a liveness probe with one result before a time, and another from then on.
func until(end time.Duration, before, after ProbeResult) func(time.Duration) ProbeResult {
	return func(at time.Duration) ProbeResult {
		if at < end {
			return before
		}
		return after
	}
}

func TestAlive(t *testing.T) {
	kubelets := hold.Probe{Port: 8080, HTTPPath: "/healthz", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
	probe := func(period, timeout, threshold int32) hold.Probe {
		return hold.Probe{Port: 8080, PeriodSeconds: period, TimeoutSeconds: timeout, FailureThreshold: threshold}
	}
	busy := longPolled(time.Hour)
	tests := map[string]struct {
		probe    hold.Probe
		world    world
		outcome  string
		earliest time.Duration
		latest   time.Duration
	}{
		"fails at once": {
			kubelets, world{endpoint: failing(ms, 0), alive: always(ProbeFailed)},
			hold.OutcomeSkipped, 2 * s, 2 * s,
		},
		"fails at once, and then answers": {
			kubelets, world{endpoint: longPolled(9 * s), alive: until(1500*ms, ProbeFailed, ProbeAnswered)},
			hold.OutcomeDrained, 9 * s, 9 * s,
		},
		"fails after the own hook, and then answers: a second apart there, too": {
			kubelets, world{endpoint: longPolled(12 * s), hookUntil: 8 * s, alive: until(9500*ms, ProbeFailed, ProbeAnswered)},
			hold.OutcomeDrained, 12 * s, 12 * s,
		},
		"fails late, as a command that waits for the container in vain": {
			kubelets, world{endpoint: longPolled(20 * s), alive: always(ProbeFailed), probeTakes: 2 * s},
			hold.OutcomeDrained, 20 * s, 20 * s,
		},
		"is silent for less long than the kubelet would wait": {
			kubelets, world{endpoint: longPolled(40 * s), alive: until(25*s, ProbeSilent, ProbeAnswered), probeTakes: s},
			hold.OutcomeDrained, 40 * s, 40 * s,
		},
		"is silent for as long": {
			kubelets, world{endpoint: busy, alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeSkipped, 30 * s, 30 * s,
		},
		"is silent for as long after the own hook": {
			kubelets, world{endpoint: busy, hookUntil: 8 * s, alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeSkipped, 38 * s, 38 * s,
		},
		"is silent, and then nobody listens": {
			kubelets, world{endpoint: busy, alive: until(8*s, ProbeSilent, ProbeFailed)},
			hold.OutcomeSkipped, 10 * s, 10 * s,
		},
		"hangs up at once": {
			kubelets, world{endpoint: busy, alive: always(ProbeSilent)},
			hold.OutcomeSkipped, 30 * s, 30 * s,
		},
		"is silent, with short periods: no pause between the probes": {
			probe(1, 1, 3), world{endpoint: failing(ms, 0), alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeSkipped, 3 * s, 3 * s,
		},
		"is silent, with a long timeout": {
			probe(10, 5, 3), world{endpoint: busy, alive: always(ProbeSilent), probeTakes: 5 * s},
			hold.OutcomeSkipped, 30 * s, 30 * s,
		},
		"is silent, and one failure is enough for the kubelet: two for the agent": {
			probe(1, 1, 1), world{endpoint: busy, alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeSkipped, 2 * s, 2 * s,
		},
		"is silent, and the plan does not say how long that may be: the kubelet's defaults": {
			probe(0, 0, 0), world{endpoint: busy, alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeSkipped, 30 * s, 30 * s,
		},
		"is silent to the bound, which comes first": {
			probe(1<<30, 1, 1<<30), world{endpoint: busy, alive: always(ProbeSilent), probeTakes: s},
			hold.OutcomeTimedOut, 60 * s, 60 * s,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := tc.world.run(t, spec(func(sp *hold.Spec) { http(sp); sp.Alive = &tc.probe }))
			checkAlive(t, got, tc.outcome, tc.earliest, tc.latest)
		})
	}
}

// A container that follows is asked in the same way.
func TestFollowerAlive(t *testing.T) {
	tests := map[string]struct {
		world    world
		outcome  string
		earliest time.Duration
	}{
		"dead beside a living one":        {world{alive: always(ProbeFailed)}, hold.OutcomeSkipped, 2 * s},
		"silent, and not for long":        {world{alive: always(ProbeSilent), probeTakes: s, goneAt: 25 * s}, hold.OutcomeDrained, 25 * s},
		"silent beside one that goes on":  {world{alive: always(ProbeSilent), probeTakes: s}, hold.OutcomeSkipped, 30 * s},
		"answers beside one that goes on": {world{alive: always(ProbeAnswered)}, hold.OutcomeTimedOut, 58 * s},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := tc.world.run(t, spec(func(sp *hold.Spec) {
				sp.Role = hold.RoleFollow
				sp.Alive = &hold.Probe{Port: 9090, PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3}
			}))
			checkAlive(t, got, tc.outcome, tc.earliest, tc.earliest+200*ms)
		})
	}
}

func checkAlive(t *testing.T, got hold.Result, outcome string, earliest, latest time.Duration) {
	t.Helper()
	held := time.Duration(got.HeldSeconds * float64(s))
	restart := strings.Contains(got.Reason, "restart, not a drain")
	if got.Outcome != outcome || held < earliest || held > latest+100*ms || restart != (outcome == hold.OutcomeSkipped) {
		t.Errorf("got %+v, want %s after %v to %v", got, outcome, earliest, latest)
	}
}
