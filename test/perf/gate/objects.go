package gate

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

// holdPolicy holds the deletions of a workload's pods.
func holdPolicy(w fleet.Workload) *v1alpha1.DrainPolicy {
	p := w.Policy()
	p.Spec.DrainStatus.HTTP.PeriodSeconds = 1
	p.Spec.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion}
	return p
}

func (b *bench) namespace(ctx context.Context, name string, policies ...*v1alpha1.DrainPolicy) error {
	if err := b.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
		return err
	}
	for _, p := range policies {
		if err := b.client.Create(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// start creates a pod, as soon as pods of its policy are injected, and makes it
// run, owing something.
func (b *bench) start(ctx context.Context, w fleet.Workload, number int) (*corev1.Pod, error) {
	pod := w.Pod(number, fleet.NodeName(0))
	if err := await(ctx, "injection of "+w.Namespace+"/"+w.Name, func(ctx context.Context) (bool, error) {
		trial := pod.DeepCopy()
		err := b.client.Create(ctx, trial, client.DryRunAll)
		return err == nil && trial.Labels[v1alpha1.LabelInjected] == "true", err
	}); err != nil {
		return nil, err
	}
	if err := b.client.Create(ctx, pod); err != nil {
		return nil, err
	}
	return pod, b.kubelet.run(ctx, pod.DeepCopy())
}

// awaitReachable waits until the hold is in effect.
func (b *bench) awaitReachable(ctx context.Context, w fleet.Workload) error {
	return await(ctx, "the drain status of "+w.Namespace+" reachable", func(ctx context.Context) (bool, error) {
		p := &v1alpha1.DrainPolicy{}
		err := b.client.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, p)
		return meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionDrainStatusReachable), err
	})
}

func await(ctx context.Context, what string, done wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextTimeout(ctx, glance, patient, true, done); err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}
