package scale

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/audit"
	"github.com/drain-operator/drain-operator/test/perf/binary"
)

// measured is what was seen with a number of pods.
type measured struct {
	pods int
	// perSecond is how fast the bench created pods.
	perSecond float64
	// Usage after the pods were created, after a cold start, and after the rest
	// that followed a warm one.
	creating, coldUse, restUse binary.Usage
	// From the start of the process, with nothing there: until it was ready,
	// until all policies had a status, until all said that injection works.
	coldReady, coldJudged, coldWorking time.Duration
	// From the start, with all there: until it was ready, until it had looked at
	// all policies.
	warmReady, warmVisited time.Duration
	// Requests to the API server, from the start.
	coldRequests, warmRequests audit.Requests

	// At rest: the memory in MiB, the share of a core, and the requests.
	resident, own []float64
	busy          float64
	rested        time.Duration
	restRequests  audit.Requests
}

// peak is the most that was ever resident, starts and creations included.
func (m *measured) peak() float64 {
	return max(m.creating.Peak, m.coldUse.Peak, m.restUse.Peak)
}

// perMinute is a number of requests at rest, per minute.
func (m *measured) perMinute(count int) float64 { return float64(count) / m.rested.Minutes() }

func (m *measured) figures() []perf.Figure {
	figure := func(what string, value float64, unit string) perf.Figure {
		return perf.Figure{What: fmt.Sprintf("%d pods, %s", m.pods, what), Value: value, Unit: unit, Samples: 1}
	}
	figures := []perf.Figure{
		figure("created through the webhook, per second", m.perSecond, "pods"),
		figure("cold start, to ready", m.coldReady.Seconds(), "s"),
		figure("cold start, to a status of every policy", m.coldJudged.Seconds(), "s"),
		figure("cold start, to injection seen to work for every policy", m.coldWorking.Seconds(), "s"),
		figure("warm start, to ready", m.warmReady.Seconds(), "s"),
		figure("warm start, to a visit of every policy", m.warmVisited.Seconds(), "s"),
		// One event says who leads.
		figure("warm start, writes", float64(m.warmRequests.Of(audit.Writes)), "writes").AtMost(1),
		figure("resident set, peak while pods were created", m.creating.Peak, "MiB").AtMost(maxMiB),
		figure("resident set, peak of a cold start", m.coldUse.Peak, "MiB").AtMost(maxMiB),
		figure("resident set, peak of a warm start and the rest", m.restUse.Peak, "MiB").AtMost(maxMiB),
		figure("resident set, the most at rest", slices.Max(m.resident), "MiB").AtMost(maxMiB),
		figure("of it the process's own, without the binary's pages", slices.Max(m.own), "MiB"),
		figure("live heap at rest", m.restUse.Live, "MiB"),
		figure("CPU at rest", m.busy*100, "% of a core"),
		figure("writes per minute at rest", m.perMinute(m.restRequests.Of(audit.Writes)), "writes").AtMost(0),
	}
	for _, k := range []audit.Kind{audit.Reads, audit.DryRuns, audit.Reviews, audit.Renewals} {
		figures = append(figures, figure(string(k)+" per minute at rest", m.perMinute(m.restRequests.Of(k)), "requests"))
	}
	for _, k := range []audit.Kind{audit.Writes, audit.DryRuns} {
		for _, what := range slices.Sorted(maps.Keys(m.coldRequests[k])) {
			figures = append(figures, figure(fmt.Sprintf("cold start, %s: %s", k, what), float64(m.coldRequests[k][what]), "requests"))
		}
	}
	return figures
}

// unexpected tells what was written where nothing should have been.
func (b *bench) unexpected(m measured) {
	for when, seen := range map[string]audit.Requests{"a warm start": m.warmRequests, "rest": m.restRequests} {
		for what, count := range seen[audit.Writes] {
			b.say("%d pods, %s: %d x %s", m.pods, when, count, what)
		}
	}
}

// growth tells how figures grow with the pods.
func (b *bench) growth(few, many measured) {
	times := many.pods / few.pods
	ratio := func(what string, of func(measured) float64) perf.Figure {
		return perf.Figure{What: fmt.Sprintf("%d times the pods: %s", times, what), Value: of(many) / of(few), Unit: "x", Samples: 2}
	}
	b.tell(
		ratio("cold start, to ready", func(m measured) float64 { return m.coldReady.Seconds() }),
		ratio("cold start, to a status of every policy", func(m measured) float64 { return m.coldJudged.Seconds() }),
		ratio("warm start, to ready", func(m measured) float64 { return m.warmReady.Seconds() }),
		ratio("warm start, to a visit of every policy", func(m measured) float64 { return m.warmVisited.Seconds() }),
		ratio("resident set at rest", func(m measured) float64 { return slices.Max(m.resident) }),
		ratio("resident set, peak", func(m measured) float64 { return m.peak() }),
		ratio("live heap at rest", func(m measured) float64 { return m.restUse.Live }),
		ratio("CPU at rest", func(m measured) float64 { return m.busy }),
		ratio("requests per minute at rest, renewals of the lease aside", func(m measured) float64 {
			return m.perMinute(m.restRequests.Of(audit.Reads) + m.restRequests.Of(audit.DryRuns) + m.restRequests.Of(audit.Reviews) + m.restRequests.Of(audit.Writes))
		}),
	)
}
