// Package operator changes the operator on the cluster that KUBECONFIG names,
// and its life, for the benchmarks that need it otherwise than it is.
package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

const (
	rolloutTimeout = 3 * time.Minute
	glance         = 200 * time.Millisecond
)

// Names that config/ gives the operator and what belongs to it.
const (
	Namespace = "drain-operator-system"
	name      = "drain-operator"
	service   = "drain-operator-webhook"
	secret    = "drain-operator-webhook-cert"
	lease     = "drain-operator"
	// webhookPort of the pods.
	webhookPort = 9443
)

var deployment = client.ObjectKey{Namespace: Namespace, Name: name}

// Operator is the one on the cluster.
type Operator struct{ *framework.Env }

// WithArgs starts the operator anew with further flags, which win over those
// that it has, until restore.
func (o Operator) WithArgs(ctx context.Context, args ...string) (restore func(context.Context) error, err error) {
	d, err := o.deployment(ctx)
	if err != nil {
		return nil, err
	}
	before := d.Spec.Template.Spec.Containers[0].Args
	restore = func(ctx context.Context) error { return o.setArgs(ctx, before) }
	if err := o.setArgs(ctx, slices.Concat(before, args)); err != nil {
		return nil, errors.Join(err, restore(context.WithoutCancel(ctx)))
	}
	return restore, nil
}

func (o Operator) setArgs(ctx context.Context, args []string) error {
	err := o.change(ctx, func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Args = args })
	if err != nil {
		return err
	}
	if err := o.AwaitRollout(ctx); err != nil {
		return fmt.Errorf("the operator with %v: %w", args, err)
	}
	return nil
}

// Restart begins a rolling restart as kubectl does.
func (o Operator) Restart(ctx context.Context) error {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339))
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = Namespace, name
	return o.Client.Patch(ctx, d, client.RawPatch(types.StrategicMergePatchType, patch))
}

// Scale sets the number of replicas, and returns the one before.
func (o Operator) Scale(ctx context.Context, replicas int32) (before int32, err error) {
	err = o.change(ctx, func(d *appsv1.Deployment) { before, d.Spec.Replicas = *d.Spec.Replicas, &replicas })
	return before, err
}

func (o Operator) deployment(ctx context.Context) (*appsv1.Deployment, error) {
	d := &appsv1.Deployment{}
	if err := o.Client.Get(ctx, deployment, d); err != nil {
		return nil, fmt.Errorf("the operator is not deployed: %w", err)
	}
	return d, nil
}

func (o Operator) change(ctx context.Context, edit func(*appsv1.Deployment)) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d, err := o.deployment(ctx)
		if err != nil {
			return err
		}
		edit(d)
		return o.Client.Update(ctx, d)
	})
}

// AwaitRollout waits until the replicas that the Deployment asks for are ready,
// and none of an earlier one is left: replicas that are ending may still answer.
func (o Operator) AwaitRollout(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, glance, rolloutTimeout, true, func(ctx context.Context) (bool, error) {
		d, err := o.deployment(ctx)
		if err != nil {
			return false, err
		}
		s, want := d.Status, *d.Spec.Replicas
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.ReadyReplicas != want || s.Replicas != want {
			return false, nil
		}
		pods, err := o.Pods(ctx)
		return len(pods) == int(want), err
	})
	if err != nil {
		return fmt.Errorf("waiting for the operator's replicas: %w", err)
	}
	return nil
}

// Pods of the operator, those that are ending included.
func (o Operator) Pods(ctx context.Context) ([]corev1.Pod, error) {
	d, err := o.deployment(ctx)
	if err != nil {
		return nil, err
	}
	var pods corev1.PodList
	err = o.Client.List(ctx, &pods, client.InNamespace(Namespace), client.MatchingLabels(d.Spec.Selector.MatchLabels))
	return pods.Items, err
}
