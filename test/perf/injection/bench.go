package injection

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf"
)

const (
	// rounds of creations, one of each variant in each.
	// Of 1,000, the ten longest made the p99: on one machine its ratio came out
	// between 0.9 and 1.7.
	rounds = 4000
	// warmUp rounds come before and are not counted: connections are made,
	// programs get to their usual size.
	warmUp = 100
)

// variants of what a pod creation passes.
type variant int

const (
	ours variant = iota
	empty
	label
	none
)

var names = []string{ours: "our webhook", empty: "empty webhook", label: "a webhook that adds a label", none: "no webhook"}

// samples are the latencies of each variant.
type samples [4]perf.Sample

type bench struct {
	env *framework.Environment
	say func(string, ...any)
	// emptyNamespace is where the empty webhook is asked, labelNamespace where
	// it adds a label, noneNamespace where none is asked.
	emptyNamespace, labelNamespace, noneNamespace string
}

// prepare makes the namespaces to compare with, and starts the empty webhook.
func (b *bench) prepare(ctx context.Context) (stop func() error, err error) {
	for _, namespace := range []*string{&b.emptyNamespace, &b.labelNamespace, &b.noneNamespace} {
		if *namespace, err = b.env.Namespace(ctx, nil); err != nil {
			return nil, err
		}
	}
	return startEmpty(ctx, b.env, b.emptyNamespace, b.labelNamespace)
}

// measure creates pods in a namespace with our webhook and in those to compare
// with, in turns, each round in another order.
func (b *bench) measure(ctx context.Context, namespace string) (samples, error) {
	var all samples
	namespaces := []string{ours: namespace, empty: b.emptyNamespace, label: b.labelNamespace, none: b.noneNamespace}
	for round := range warmUp + rounds {
		for _, v := range rand.Perm(len(namespaces)) {
			took, injected, err := b.create(ctx, namespaces[v])
			if err != nil {
				return all, fmt.Errorf("creating a pod, %s: %w", names[v], err)
			}
			if want := variant(v) == ours; injected != want {
				return all, fmt.Errorf("creating a pod, %s: injected is %t, want %t", names[v], injected, want)
			}
			if round >= warmUp {
				all[v] = append(all[v], took)
			}
		}
	}
	return all, nil
}

// create creates a pod as a dry run.
func (b *bench) create(ctx context.Context, namespace string) (took time.Duration, injected bool, err error) {
	pod := webPod(namespace)
	began := time.Now()
	err = b.env.Client.Create(ctx, pod, client.DryRunAll)
	return time.Since(began), runsAgent(pod), err
}

// runsAgent reports whether the pod got the agent, and not a mere sleep.
func runsAgent(pod *corev1.Pod) bool {
	for _, c := range pod.Spec.Containers {
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil && hold.IsAgentCommand(c.Lifecycle.PreStop.Exec.Command) {
			return true
		}
	}
	return false
}

// storedRounds of creations that are stored, with our webhook and with none.
const storedRounds = 400

// measureStored creates pods for good: what a webhook adds beside a write to
// etcd. Each is deleted at once; it was never scheduled.
func (b *bench) measureStored(ctx context.Context, namespace string) (with, without perf.Sample, err error) {
	for round := range warmUp + storedRounds {
		for _, v := range rand.Perm(2) {
			pod := webPod([]string{namespace, b.noneNamespace}[v])
			began := time.Now()
			if err := b.env.Client.Create(ctx, pod); err != nil {
				return nil, nil, fmt.Errorf("creating a pod for good: %w", err)
			}
			took := time.Since(began)
			if err := b.env.Client.Delete(ctx, pod, client.GracePeriodSeconds(0)); err != nil {
				return nil, nil, fmt.Errorf("deleting it: %w", err)
			}
			switch {
			case round < warmUp:
			case v == 0:
				with = append(with, took)
			default:
				without = append(without, took)
			}
		}
	}
	return with, without, nil
}

// awaitInjection waits until pods of a namespace are injected.
func (b *bench) awaitInjection(ctx context.Context, namespace string) error {
	err := wait.PollUntilContextTimeout(ctx, glance, readyTimeout, true, func(ctx context.Context) (bool, error) {
		_, injected, err := b.create(ctx, namespace)
		return injected, err
	})
	if err != nil {
		return fmt.Errorf("pods of namespace %s are not injected: %w", namespace, err)
	}
	return nil
}

// awaitQuiet waits until the operator has judged every policy: it tries each
// with a pod of its own.
func (b *bench) awaitQuiet(ctx context.Context) error {
	var unjudged int
	err := wait.PollUntilContextTimeout(ctx, 5*glance, 3*readyTimeout, true, func(ctx context.Context) (bool, error) {
		var policies v1alpha1.DrainPolicyList
		if err := b.env.Client.List(ctx, &policies); err != nil {
			return false, err
		}
		unjudged = 0
		for _, p := range policies.Items {
			if p.Status.ObservedGeneration != p.Generation {
				unjudged++
			}
		}
		return unjudged == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%d policies have no status yet: %w", unjudged, err)
	}
	return nil
}

// ready makes sure that a namespace's pods are injected and nothing else goes on.
func (b *bench) ready(ctx context.Context, namespace string) error {
	if err := b.awaitInjection(ctx, namespace); err != nil {
		return err
	}
	return b.awaitQuiet(ctx)
}

func webPod(namespace string) *corev1.Pod {
	pod := template.DeepCopy()
	pod.Namespace = namespace
	return pod
}
