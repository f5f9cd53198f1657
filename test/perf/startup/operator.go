package startup

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

const (
	rolloutTimeout = 3 * time.Minute
	glance         = 200 * time.Millisecond
)

// operator is where config/ puts the operator.
var operator = client.ObjectKey{Namespace: "drain-operator-system", Name: "drain-operator"}

// setDelivery starts the operator anew with another delivery, until restore.
func setDelivery(ctx context.Context, env *framework.Env, delivery plan.Delivery) (restore func(context.Context) error, err error) {
	var d appsv1.Deployment
	if err := env.Client.Get(ctx, operator, &d); err != nil {
		return nil, fmt.Errorf("the operator is not deployed: %w", err)
	}
	before := d.Spec.Template.Spec.Containers[0].Args
	// Without the second flag such pods get the native sleep hook, as a plain
	// kubectl drain refuses pods with an emptyDir.
	args := slices.Concat(before, []string{"--agent-delivery=" + string(delivery), "--avoid-emptydir=false"})
	if err := setArgs(ctx, env, args); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error { return setArgs(ctx, env, before) }, nil
}

// setArgs sets the operator's flags and waits until only replicas with them are left.
func setArgs(ctx context.Context, env *framework.Env, args []string) error {
	var d appsv1.Deployment
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := env.Client.Get(ctx, operator, &d); err != nil {
			return err
		}
		d.Spec.Template.Spec.Containers[0].Args = args
		return env.Client.Update(ctx, &d)
	})
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, glance, rolloutTimeout, true, func(ctx context.Context) (bool, error) {
		var now appsv1.Deployment
		if err := env.Client.Get(ctx, operator, &now); err != nil {
			return false, err
		}
		s, want := now.Status, *now.Spec.Replicas
		if s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.ReadyReplicas != want || s.Replicas != want {
			return false, nil
		}
		// Old replicas that are ending may still answer the webhook.
		var pods corev1.PodList
		err := env.Client.List(ctx, &pods, client.InNamespace(operator.Namespace), client.MatchingLabels(now.Spec.Selector.MatchLabels))
		return len(pods.Items) == int(want), err
	})
	if err != nil {
		return fmt.Errorf("the operator with %v: %w", args, err)
	}
	return nil
}
