// Package absence measures on a real cluster what becomes of pod creations and
// deletions while the operator's webhook is not there.
package absence

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/creations"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
	"github.com/drain-operator/drain-operator/test/perf/operator"
)

// Group is the name of this benchmark.
const Group = "absence"

const (
	// rate of creations per second, and of deletions, in either namespace.
	rate = 20
	// warmUp is how long pods are made before a state begins, and window how
	// long it is measured.
	warmUp, window = 3 * time.Second, 20 * time.Second
	// app is the label of the pods, and the policy's name.
	app = "web"

	// longestMs is what the API server waits for the webhook, and what a
	// creation takes beside that on a busy machine.
	longestMs = 2000 + 500
)

// Measure makes pods on the cluster, takes the webhook away in each way, and
// gives it back.
func Measure(ctx context.Context, say func(string, ...any)) (figures []perf.Figure, err error) {
	env, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	b := bench{Operator: operator.Operator{Env: env}, say: say}
	for _, n := range []**onpods.Namespace{&b.with, &b.without} {
		if *n, err = onpods.Open(ctx, env); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, (*n).Close(ctx)) }()
	}
	if err := b.with.Apply(ctx, framework.Policy(app).Obj(), creations.Pod(app, app)); err != nil {
		return nil, err
	}
	for _, state := range b.states() {
		found, err := b.measure(ctx, state)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", state.what, err)
		}
		figures = append(figures, found...)
	}
	return figures, nil
}

type bench struct {
	operator.Operator
	say func(string, ...any)
	// with is a namespace with a policy, without one that the webhook is never
	// asked about.
	with, without *onpods.Namespace
}

// measure makes pods before a state begins and until it has lasted for the
// window, and then waits until pods are injected again.
func (b *bench) measure(ctx context.Context, s state) (figures []perf.Figure, err error) {
	var streams []*creations.Stream
	for _, n := range []*onpods.Namespace{b.with, b.without} {
		stream, err := creations.Start(ctx, b.Config, creations.Plan{Namespace: n.Name, App: app, Rate: rate, Stored: true})
		if err != nil {
			return nil, err
		}
		streams = append(streams, stream)
	}
	from, to, err := b.hold(ctx, s)
	with, without := streams[0].Stop().Between(from, to), streams[1].Stop().Between(from, to)
	if err != nil {
		return nil, err
	}
	if err := s.check(with.Between(to.Add(-window/2), to).Created); err != nil {
		return nil, err
	}
	if err := errors.Join(with.Created.Why(), with.Deleted.Why(), without.Created.Why(), without.Deleted.Why()); err != nil {
		b.say("%s: %v", s.what, err)
	}
	return s.figures(with, without), nil
}

// hold keeps a state for the window, and puts everything back.
func (b *bench) hold(ctx context.Context, s state) (from, to time.Time, err error) {
	if err := wait(ctx, warmUp); err != nil {
		return from, to, err
	}
	from = time.Now()
	end, err := s.begin(ctx)
	if err == nil {
		b.say("%s, for %s", s.what, window)
		err = wait(ctx, window)
	}
	to = time.Now()
	if end != nil {
		err = errors.Join(err, end(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return from, to, err
	}
	if err := b.with.AwaitInjection(ctx, creations.Pod(app, app), func(*corev1.Pod) bool { return true }); err != nil {
		return from, to, err
	}
	b.say("%s: pods are injected %.1f s after its end", s.what, time.Since(to).Seconds())
	return from, to, nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// check that the webhook was there, or was not.
func (s state) check(created creations.Records) error {
	if injected := len(created.Injected()); s.absent && injected > 0 || !s.absent && injected < len(created) {
		return fmt.Errorf("%d of %d pods were injected", injected, len(created))
	}
	return nil
}

func (s state) figures(with, without creations.Result) []perf.Figure {
	figure := func(what string, r creations.Records, bound float64) []perf.Figure {
		what = s.what + ": " + what
		longest := r.Took().Longest(Group, what)
		if bound > 0 {
			longest = longest.AtMost(bound)
		}
		return []perf.Figure{r.Took().Figure(Group, what, 0.5), r.Took().Figure(Group, what, 0.99), longest}
	}
	all := []creations.Records{with.Created, with.Deleted, without.Created, without.Deleted}
	failed, asked := 0, 0
	for _, r := range all {
		failed, asked = failed+len(r.Failed()), asked+len(r)
	}
	return slices.Concat(
		figure("creation", with.Created, longestMs),
		figure("deletion", with.Deleted, longestMs),
		figure("creation without a policy", without.Created, 0),
		[]perf.Figure{perf.Figure{Group: Group, What: s.what + ": creations and deletions that failed", Value: float64(failed), Samples: asked}.AtMost(0)})
}
