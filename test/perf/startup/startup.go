// Package startup measures on a real cluster how long a pod takes from its
// creation until it is ready, with and without injection, for both ways in
// which the agent gets into pods.
package startup

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
	"github.com/drain-operator/drain-operator/test/perf/operator"
)

// Group is the name of this benchmark.
const Group = "startup"

// pairs of pods, one injected and one not, are made for each delivery.
const pairs = 20

// policyName is also the value of the label app of pods to be injected.
const policyName = "injected"

// Measure starts pods on the cluster. It changes the flags of the operator for
// as long as it takes.
func Measure(ctx context.Context, image string, say func(string, ...any)) (figures []perf.Figure, err error) {
	env, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	for _, delivery := range []plan.Delivery{plan.ImageVolume, plan.InitContainer} {
		say("the operator is to deliver by %s", delivery)
		// Without the second flag pods with the init container get the native sleep
		// hook, as a plain kubectl drain refuses pods with an emptyDir.
		restore, err := operator.Operator{Env: env}.WithArgs(ctx, "--agent-delivery="+string(delivery), "--avoid-emptydir=false")
		if err != nil {
			return nil, err
		}
		without, with, err := measure(ctx, env, image, delivery, say)
		if err := errors.Join(err, restore(context.WithoutCancel(ctx))); err != nil {
			return nil, err
		}
		figures = append(figures, compare(delivery, without, with)...)
	}
	gate, err := measureGate(ctx, env, image, say)
	return append(figures, gate...), err
}

func compare(delivery plan.Delivery, without, with perf.Sample) []perf.Figure {
	var figures []perf.Figure
	for _, q := range []float64{0.5, 0.95} {
		figures = append(figures,
			without.Figure(Group, fmt.Sprintf("create to Ready, not injected (beside %s)", delivery), q),
			with.Figure(Group, fmt.Sprintf("create to Ready, %s", delivery), q),
			with.Ratio(without, Group, fmt.Sprintf("%s to not injected", delivery), q))
	}
	return figures
}

// measure starts pods in pairs, one of which is injected.
func measure(ctx context.Context, env *framework.Env, image string, delivery plan.Delivery, say func(string, ...any)) (without, with perf.Sample, err error) {
	n, err := onpods.Open(ctx, env)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, n.Close(ctx)) }()
	injected := kind{app: policyName, is: func(pod *corev1.Pod) bool { return onpods.Injected(pod) && delivered(pod, delivery) }}
	plain := kind{app: "plain", is: func(pod *corev1.Pod) bool { return !onpods.Injected(pod) }}
	policy := framework.Policy(policyName).Propagation(1, 1).MaxHold(2).Obj()
	if err := n.Apply(ctx, policy, pod(policyName, policyName, image)); err != nil {
		return nil, nil, err
	}
	if err := n.AwaitInjection(ctx, pod(policyName, policyName, image), injected.is); err != nil {
		return nil, nil, err
	}
	say("%s: %d pairs of pods", delivery, pairs)
	began, lives, err := startPairs(ctx, n, image, plain, injected)
	if err != nil {
		return nil, nil, err
	}
	return ready(began[0], lives[0]), ready(began[1], lives[1]), nil
}

// kind of pods that are compared.
type kind struct {
	// app is the value of their label.
	app string
	// is says whether a pod came back from the API server as it should be.
	is func(*corev1.Pod) bool
}

// startPairs starts a pod of each kind, one after the other, pairs times; the
// second kind first in every other pair. It returns when each was begun, and
// its life until it was ready. The first pair is not counted: it finds nothing
// in any cache.
func startPairs(ctx context.Context, n *onpods.Namespace, image string, kinds ...kind) (began [2][]time.Time, lives [2][]onpods.Life, err error) {
	for i := range pairs + 1 {
		for j := range 2 {
			of := (i + j + 1) % 2
			at, life, err := start(ctx, n, image, i, kinds[of])
			if err != nil {
				return began, lives, err
			}
			if i > 0 {
				began[of], lives[of] = append(began[of], at), append(lives[of], life)
			}
		}
	}
	return began, lives, nil
}

// start makes a pod and waits until it is ready, as seen by a client.
func start(ctx context.Context, n *onpods.Namespace, image string, number int, k kind) (time.Time, onpods.Life, error) {
	pod := pod(fmt.Sprintf("%s-%d", k.app, number), k.app, image)
	pod.Namespace = n.Name
	began := time.Now()
	if err := n.Client.Create(ctx, pod); err != nil {
		return began, onpods.Life{}, err
	}
	if !k.is(pod) {
		return began, onpods.Life{}, fmt.Errorf("pod %s is not injected as it should be", pod.Name)
	}
	life, err := n.AwaitReady(ctx, pod.Name)
	return began, life, err
}

func ready(began []time.Time, lives []onpods.Life) perf.Sample {
	var sample perf.Sample
	for i, life := range lives {
		sample = append(sample, life.Ready.Sub(began[i]))
	}
	return sample
}

// pod is a server without a readiness probe: when it is ready is a matter of
// containers and volumes only, and not of a probe's period.
func pod(name, app, image string) *corev1.Pod {
	return framework.Pod(name).Label("app", app).With(func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Image = image
		pod.Spec.Containers[0].ReadinessProbe = nil
	}).Obj()
}

// delivered says whether the agent gets into a pod in that way.
func delivered(pod *corev1.Pod, delivery plan.Delivery) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			return delivery == plan.ImageVolume
		}
	}
	return delivery == plan.InitContainer && len(pod.Spec.InitContainers) == 1
}
