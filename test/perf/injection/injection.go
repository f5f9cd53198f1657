// Package injection measures what the operator's webhook adds to the creation
// of a pod, as a multiple of what a webhook adds that answers "allowed" at once.
//
// All on one real API server, in one run, in turns: what disturbs one of a pair
// disturbs the other as well. Pods are created as dry runs, so that no write to
// etcd dilutes the difference; some are stored, in an etcd that waits for its disk.
package injection

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf"
)

// Group is the name of this benchmark.
const Group = "injection"

// maxRatio is the bound of docs/performance.md.
const maxRatio = 1.5

// scenarios add policies, and then pods are created in a namespace. Those of
// earlier ones stay.
var scenarios = []struct {
	what string
	// namespaces to add, with so many policies each. Pods are created in the first.
	namespaces, policies int
	// old: pods are created in the first namespace of the first scenario.
	old bool
}{
	{what: "10 policies", namespaces: 1, policies: 10},
	{what: "1,000 policies in 100 namespaces", namespaces: 99, policies: 10, old: true},
	{what: "1,000 policies in one namespace", namespaces: 1, policies: 1000},
}

// Measure measures on an API server that it starts (KUBEBUILDER_ASSETS).
func Measure(ctx context.Context, say func(string, ...any)) (figures []perf.Figure, err error) {
	dir, err := os.MkdirTemp("", "bench-injection-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	say("starting an API server")
	env, err := framework.Start(ctx, framework.Durable)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	stopOperator, err := startOperator(ctx, env, dir, say)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopOperator()) }()
	b := bench{env: env, say: say}
	stopEmpty, err := b.prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopEmpty()) }()
	return b.scenarios(ctx)
}

func (b *bench) scenarios(ctx context.Context) ([]perf.Figure, error) {
	var figures []perf.Figure
	var first string
	for i, s := range scenarios {
		b.say("%s: creating them", s.what)
		namespace, err := b.addPolicies(ctx, i, s.namespaces, s.policies)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			first = namespace
		}
		if s.old {
			namespace = first
		}
		b.say("%s: %d rounds of pod creations", s.what, rounds)
		samples, err := b.measure(ctx, namespace)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.what, err)
		}
		figures = append(figures, samples.figures(s.what)...)
	}
	b.say("%d rounds of pod creations that are stored", storedRounds)
	with, without, err := b.measureStored(ctx, first)
	if err != nil {
		return nil, err
	}
	for _, q := range []float64{0.5, 0.99} {
		figures = append(figures,
			with.Ratio(without, Group, "stored, with our webhook to without any", q),
			with.Figure(Group, "stored, pod creation, our webhook", q),
			without.Figure(Group, "stored, pod creation, no webhook", q))
	}
	return figures, nil
}

func (s samples) figures(what string) []perf.Figure {
	var figures []perf.Figure
	for _, q := range []float64{0.5, 0.99} {
		figures = append(figures, s[ours].Ratio(s[empty], Group, what+", ours to an empty webhook", q).AtMost(maxRatio))
	}
	for v, name := range names {
		for _, q := range []float64{0.5, 0.99} {
			figures = append(figures, s[v].Figure(Group, what+", pod creation, "+name, q))
		}
	}
	return figures
}
