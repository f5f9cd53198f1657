package startup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
)

const (
	gated, ungated = "gated", "ungated"

	// gateBound is how much longer a pod with the readiness gate may take to be
	// Ready: the gate is to be set before the first container runs.
	gateBound = 1.1
)

// measureGate starts pods in pairs under two policies that differ in one thing:
// the deletions of one's pods are held, so that these have the readiness gate.
func measureGate(ctx context.Context, env *framework.Env, image string, say func(string, ...any)) (figures []perf.Figure, err error) {
	n, err := onpods.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close(ctx)) }()
	kinds := []kind{{ungated, func(pod *corev1.Pod) bool { return onpods.Injected(pod) && !hasGate(pod) }}, {gated, hasGate}}
	for _, k := range kinds {
		policy := framework.Policy(k.app).HTTPAt(framework.StatusPort).Propagation(1, 1).MaxHold(2).With(func(s *v1alpha1.DrainPolicySpec) {
			if k.app == gated {
				s.Gate.Hold = v1alpha1.HoldDeletion
			}
		}).Obj()
		if err := n.Apply(ctx, policy, pod(k.app, k.app, image)); err != nil {
			return nil, err
		}
		if err := n.AwaitInjection(ctx, pod(k.app, k.app, image), k.is); err != nil {
			return nil, err
		}
	}
	say("readiness gate: %d pairs of pods", pairs)
	began, lives, err := startPairs(ctx, n, image, kinds...)
	if err != nil {
		return nil, err
	}
	return compareGate(began, lives), nil
}

// compareGate tells what the gate adds: how much longer pods with it take, how
// soon it is set, and how often too late.
func compareGate(began [2][]time.Time, lives [2][]onpods.Life) []perf.Figure {
	without, with := ready(began[0], lives[0]), ready(began[1], lives[1])
	var set perf.Sample
	late := 0
	for i, life := range lives[1] {
		set = append(set, life.Gated.Sub(began[1][i]))
		if life.Gated.After(life.Started) {
			late++
		}
	}
	var figures []perf.Figure
	for _, q := range []float64{0.5, 0.95} {
		ratio := with.Ratio(without, Group, "with the readiness gate to without", q)
		if q == 0.5 {
			ratio = ratio.AtMost(gateBound)
		}
		figures = append(figures,
			without.Figure(Group, "create to Ready, hold Termination", q),
			with.Figure(Group, "create to Ready, hold Deletion (readiness gate)", q),
			set.Figure(Group, "create to the readiness gate set, as a client sees it", q),
			perf.Figure{Group: Group, What: fmt.Sprintf("what the readiness gate adds, p%g", q*100), Unit: "ms", Samples: len(with),
				Value: perf.Millis(with.Quantile(q) - without.Quantile(q))},
			ratio)
	}
	return append(figures, perf.Figure{Group: Group, What: "pods whose containers were ready before their gate was set", Unit: "pods", Value: float64(late), Samples: len(with)})
}

func hasGate(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool { return g.ConditionType == v1alpha1.PodInRotation })
}
