// Package availability measures on a real cluster whether the operator misses
// pods, or delays them, while its own replicas and its certificate come and go.
package availability

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/creations"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
	"github.com/drain-operator/drain-operator/test/perf/operator"
)

// Group is the name of this benchmark.
const Group = "availability"

const (
	// quiet is how long creations are measured with nothing going on, and
	// margin before and after what goes on.
	quiet  = 20 * time.Second
	margin = 3 * time.Second
	// app is the label of the pods, and the policy's name.
	app = "web"
)

// rates of creations per second that are tried, the highest first. A machine on
// which pods are missed while nothing goes on is too slow, or too busy, to show
// anything at that rate.
var rates = []int{200, 100, 50, 25}

type bench struct {
	operator.Operator
	ns   *onpods.Namespace
	rate int
	say  func(string, ...any)
}

// Measure makes pods on the cluster, as dry runs, and restarts the operator
// meanwhile.
func Measure(ctx context.Context, say func(string, ...any)) (figures []perf.Figure, err error) {
	env, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	b := bench{Operator: operator.Operator{Env: env}, say: say}
	if b.ns, err = onpods.Open(ctx, env); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.ns.Close(ctx)) }()
	if err := b.ns.Apply(ctx, framework.Policy(app).Obj(), creations.Pod(app, app)); err != nil {
		return nil, err
	}
	if figures, err = b.quiet(ctx); err != nil {
		return nil, fmt.Errorf("quiet: %w", err)
	}
	for _, p := range b.phases() {
		found, err := b.measure(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.what, err)
		}
		figures = append(figures, p.figures(found)...)
	}
	return figures, nil
}

// quiet makes pods while nothing goes on, at the highest rate at which none is
// missed: that of all phases.
func (b *bench) quiet(ctx context.Context) ([]perf.Figure, error) {
	p := phase{what: "quiet", run: func(ctx context.Context) error { return wait(ctx, quiet-2*margin) }}
	for _, b.rate = range rates {
		found, err := b.measure(ctx, p)
		if err != nil {
			return nil, err
		}
		if len(found.made.Missed())+len(found.made.Failed()) == 0 {
			return p.figures(found), nil
		}
		b.say("%d creations per second are too many for this machine, as it is", b.rate)
		if err := errors.Join(wait(ctx, margin), b.AwaitRollout(ctx)); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("pods are missed at the lowest rate while nothing goes on")
}

// found is what was seen in a phase.
type found struct {
	made creations.Records
	// changes of the leader, and the longest time without one.
	changes int
	gap     time.Duration
}

// measure makes pods while something goes on.
func (b *bench) measure(ctx context.Context, p phase) (f found, err error) {
	if len(p.args) > 0 {
		restore, err := b.WithArgs(ctx, p.args...)
		if err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, restore(context.WithoutCancel(ctx))) }()
	}
	if err := b.awaitInjected(ctx); err != nil {
		return f, err
	}
	leaders, err := b.FollowLeaders(ctx)
	if err != nil {
		return f, err
	}
	stream, err := creations.Start(ctx, b.Config, creations.Plan{Namespace: b.ns.Name, App: app, Rate: b.rate})
	if err != nil {
		return f, err
	}
	if err = wait(ctx, margin); err == nil {
		err = errors.Join(p.run(ctx), wait(ctx, margin))
	}
	f.made = stream.Stop().Created
	f.changes, f.gap = leaders.Stop()
	b.say("%s: %d creations in %.0f s, %d missed over %.1f s, %d failed; %d changes of the leader",
		p.what, len(f.made), f.made.Span().Seconds(), len(f.made.Missed()), f.made.Missed().Span().Seconds(), len(f.made.Failed()), f.changes)
	if why := f.made.Why(); why != nil {
		b.say("%s: %v", p.what, why)
	}
	return f, err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p phase) figures(f found) []perf.Figure {
	took, asked := f.made.Took(), len(f.made)
	figure := func(what string, value float64, unit string, samples int) perf.Figure {
		return perf.Figure{Group: Group, What: p.what + ": " + what, Value: value, Unit: unit, Samples: samples}
	}
	missed := figure("pods not injected", float64(len(f.made.Missed())), "", asked)
	if !p.mayMiss {
		missed = missed.AtMost(0)
	}
	figures := []perf.Figure{
		missed,
		figure("creations that failed", float64(len(f.made.Failed())), "", asked).AtMost(0),
		figure("creations per second", f.made.Rate(), "", asked),
		took.Figure(Group, p.what+": creation", 0.5),
		took.Figure(Group, p.what+": creation", 0.99),
		took.Longest(Group, p.what+": creation"),
	}
	if f.changes > 0 {
		figures = append(figures, figure("without a leader", f.gap.Seconds(), "s", f.changes))
	}
	return figures
}
