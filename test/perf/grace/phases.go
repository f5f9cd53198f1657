package grace

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/binary"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// period between two looks at a policy. With the window it makes each look
	// a slot of its own, which is the most that a window has.
	period = 4 * time.Second
	// windowSeconds of the policies.
	windowSeconds = 72
	// filled is how long it takes until the window is full, and lets go of as
	// much as comes.
	filled = (windowSeconds + 6) * time.Second
	// measured is how many looks are measured: some rounds of all policies.
	measured = 5 * policyCount
	// probes of the heap, of which the middle one counts.
	probes = 5
	// usualPeriod is the operator's default, in seconds.
	usualPeriod = 30
)

// Bounds. Those of times and allocations leave room for a slower machine, and
// come from what docs/performance.md has.
const (
	maxMiB           = 200 // the bound of docs/performance.md
	maxGrowth        = 1.1
	maxPodsLookMs    = 20
	maxPrometheusMs  = 2
	maxPodsKiB       = 4096
	maxPrometheusKiB = 256
)

// run goes through all phases with one operator.
func (b *bench) run(ctx context.Context, dir string) (err error) {
	if b.client, err = fleet.Client(b.env.Config); err != nil {
		return err
	}
	b.say("creating %d policies with %d pods each", policyCount, podsPerPolicy)
	if err := create(ctx, b.client); err != nil {
		return err
	}
	b.say("building and starting the operator")
	program, err := binary.Build(ctx, b.env, dir)
	if err != nil {
		return err
	}
	b.operator, err = program.Start(ctx, "--agent-delivery=ImageVolume", "--latency-period="+period.String(), "--latency-sources="+sourcesFile(dir))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.operator.Stop()) }()
	following, done := context.WithCancel(ctx)
	defer done()
	b.peak = b.operator.FollowPeak(following)
	for _, phase := range []func(context.Context) error{b.start, b.firstLooks, b.fullWindow, b.moreTraffic, b.prometheus} {
		if err := phase(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, b.operator.Tail())
		}
	}
	return nil
}

// start waits until the operator has judged all policies, and nobody looks.
func (b *bench) start(ctx context.Context) error {
	if err := b.awaitJudged(ctx); err != nil {
		return err
	}
	u, err := b.operator.Use()
	if err != nil {
		return err
	}
	b.tell(perf.Figure{What: "memory, 10,000 pods and 1,000 policies, before the first look", Value: u.Own, Unit: "MiB", Samples: 1})
	return nil
}

// firstLooks gives all policies their source of latency.
func (b *bench) firstLooks(ctx context.Context) error {
	b.say("the first look at each")
	if err := eachWorkload(ctx, func(ctx context.Context, w workload) error { return w.askPods(ctx, b.client) }); err != nil {
		return err
	}
	if err := b.awaitPages(ctx, podCount); err != nil {
		return err
	}
	u, err := b.operator.Use()
	if err != nil {
		return err
	}
	b.tell(perf.Figure{What: "memory, after the first look at each", Value: u.Own, Unit: "MiB", Samples: 1})
	return nil
}

// fullWindow measures looks at the pods' pages, once the window is full.
func (b *bench) fullWindow(ctx context.Context) error {
	b.say("a full window, %v", filled)
	if err := sleep(ctx, filled); err != nil {
		return err
	}
	b.say("%d looks at the pods' pages", measured)
	return b.cost(ctx, source{what: "pod metrics", maxMs: maxPodsLookMs, maxKiB: maxPodsKiB, served: b.pages.served.Load, perLook: podsPerPolicy})
}

// moreTraffic compares the memory with that of a thousand times the traffic.
func (b *bench) moreTraffic(ctx context.Context) error {
	few, err := b.live(ctx)
	if err != nil {
		return err
	}
	b.say("1,000 times the traffic, until the window is full of it")
	b.pages.setTraffic(1000)
	if err := sleep(ctx, filled); err != nil {
		return err
	}
	many, err := b.live(ctx)
	if err != nil {
		return err
	}
	u, err := b.operator.Use()
	if err != nil {
		return err
	}
	b.tell(
		perf.Figure{What: "live heap, the window full", Value: few, Unit: "MiB", Samples: probes},
		perf.Figure{What: fmt.Sprintf("live heap, %.0f rounds later, with 1,000 times the traffic, to before", filled.Seconds()/period.Seconds()), Value: many / few, Unit: "x", Samples: probes}.AtMost(maxGrowth),
		perf.Figure{What: "memory, then", Value: u.Own, Unit: "MiB", Samples: 1}.AtMost(maxMiB),
		perf.Figure{What: "memory, peak since the start", Value: b.peak(), Unit: "MiB", Samples: 1}.AtMost(maxMiB),
		perf.Figure{What: "resident set, then, with the binary's own pages", Value: u.Resident, Unit: "MiB", Samples: 1},
	)
	return nil
}

// prometheus measures the same policies with a Prometheus for a source.
func (b *bench) prometheus(ctx context.Context) error {
	b.say("asking a Prometheus instead")
	if err := eachWorkload(ctx, func(ctx context.Context, w workload) error { return w.askPrometheus(ctx, b.client) }); err != nil {
		return err
	}
	if err := errors.Join(b.awaitJudged(ctx), b.await(ctx, b.answers.served.Load, 2*policyCount)); err != nil {
		return err
	}
	b.say("%d looks by a Prometheus", measured)
	return b.cost(ctx, source{what: "Prometheus", maxMs: maxPrometheusMs, maxKiB: maxPrometheusKiB, served: b.answers.served.Load, perLook: 1})
}

// source of latency, and how its looks are counted while they go on: by what
// the bench has served.
type source struct {
	what          string
	maxMs, maxKiB float64
	served        func() int64
	perLook       int64
}

// cost measures some rounds in which nothing happens that a person would notice.
func (b *bench) cost(ctx context.Context, s source) error {
	writesBefore, err := writes(ctx, b.env)
	if err != nil {
		return err
	}
	before, err := b.operator.Use()
	if err != nil {
		return err
	}
	if err := b.await(ctx, s.served, measured*s.perLook); err != nil {
		return err
	}
	after, err := b.operator.Use()
	if err != nil {
		return err
	}
	writesAfter, err := writes(ctx, b.env)
	if err != nil {
		return err
	}
	looks := after.Looks - before.Looks
	if seen := after.Seen - before.Seen; seen < 0.999*looks {
		return fmt.Errorf("%s: %.0f of %.0f looks saw something", s.what, seen, looks)
	}
	b.tell(s.figures(before, after, looks)...)
	if counted := sum(writesBefore); counted < policyCount {
		return fmt.Errorf("the API server has counted %.0f writes, and %d policies have a status", counted, policyCount)
	}
	b.tell(b.written(s, writesBefore, writesAfter, looks))
	return nil
}

func sum(counts map[string]float64) float64 {
	all := 0.0
	for _, count := range counts {
		all += count
	}
	return all
}

// written is how often the operator has written, and says what.
func (b *bench) written(s source, before, after map[string]float64, looks float64) perf.Figure {
	for what, count := range after {
		if more := count - before[what]; more > 0 {
			b.say("%s: at rest, %.0f x %s", s.what, more, what)
		}
	}
	return perf.Figure{
		Group: Group, What: s.what + ", API writes per round at rest", Value: (sum(after) - sum(before)) / looks * policyCount, Unit: "writes", Samples: int(looks),
	}.AtMost(0)
}

func (s source) figures(before, after binary.Usage, looks float64) []perf.Figure {
	cpu := perf.Millis(after.CPU-before.CPU) / looks
	figure := func(what string, value float64, unit string) perf.Figure {
		return perf.Figure{What: s.what + ", " + what, Value: value, Unit: unit, Samples: int(looks)}
	}
	return []perf.Figure{
		figure("CPU time per policy and round", cpu, "ms").AtMost(s.maxMs),
		figure("of it, garbage collection", perf.Millis(after.GC-before.GC)/looks, "ms"),
		figure("1,000 policies, a round every 30 s", cpu/1000*policyCount/usualPeriod*100, "% of a core"),
		figure("allocated per policy and round", (after.Allocated-before.Allocated)/looks/1024, "KiB").AtMost(s.maxKiB),
		figure("allocations per policy and round", (after.Objects-before.Objects)/looks, "objects"),
	}
}

// live is what collections leave on the heap: the middle one of some.
func (b *bench) live(ctx context.Context) (float64, error) {
	var seen []float64
	for range probes {
		u, err := b.operator.Use()
		if err != nil {
			return 0, err
		}
		seen = append(seen, u.Live)
		if err := b.awaitPages(ctx, podCount/4); err != nil {
			return 0, err
		}
	}
	return perf.Median(seen), nil
}

func (b *bench) tell(figures ...perf.Figure) {
	for _, f := range figures {
		f.Group = Group
		b.say("%s: %s", f.What, f.Amount(f.Value))
		b.figures = append(b.figures, f)
	}
}

func (b *bench) awaitPages(ctx context.Context, more int64) error {
	return b.await(ctx, b.pages.served.Load, more)
}

// await waits until so much more was served.
func (b *bench) await(ctx context.Context, served func() int64, more int64) error {
	until := served() + more
	err := wait.PollUntilContextTimeout(ctx, glance, 5*time.Minute, true, func(context.Context) (bool, error) {
		return served() >= until, b.operator.Alive()
	})
	if err != nil {
		return fmt.Errorf("%d of %d answers: %w", more-(until-served()), more, err)
	}
	return nil
}

// awaitJudged waits until the operator has worked out the status of every
// policy: it tries each with a pod of its own.
func (b *bench) awaitJudged(ctx context.Context) error {
	var unjudged int
	err := wait.PollUntilContextTimeout(ctx, time.Second, judgedTimeout, true, func(ctx context.Context) (bool, error) {
		var policies v1alpha1.DrainPolicyList
		if err := b.client.List(ctx, &policies); err != nil {
			return false, err
		}
		unjudged = 0
		for _, p := range policies.Items {
			if p.Status.ObservedGeneration != p.Generation {
				unjudged++
			}
		}
		return unjudged == 0, b.operator.Alive()
	})
	if err != nil {
		return fmt.Errorf("%d policies have no status yet: %w", unjudged, err)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
