package controllers

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/probe"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/write"
)

// HoldOptions are what holding deletions needs. All are required.
type HoldOptions struct {
	// Policy returns a policy from memory, nil when there is none.
	Policy func(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error)
	// NamespaceTerminating answers from memory.
	NamespaceTerminating func(ctx context.Context, namespace string) (bool, error)
	// Releasing says that an uninstall is under way.
	Releasing func() bool
	// Pods writes to pods only as they are known; see write.AsKnown.
	Pods    write.Pods
	Prober  *probe.Prober
	Metrics *telemetry.Holds
}

func (o HoldOptions) missing() bool {
	return o.Policy == nil || o.NamespaceTerminating == nil || o.Releasing == nil || o.Pods == nil || o.Prober == nil || o.Metrics == nil
}

// setupHold adds the HoldReconciler to the manager.
func setupHold(ctx context.Context, mgr ctrl.Manager, o Options, pods func(context.Context, string) ([]*corev1.Pod, error)) error {
	looked := make(chan event.TypedGenericEvent[types.NamespacedName])
	watcher := probe.NewWatcher(ctx, o.Hold.Prober, func(pod types.NamespacedName) {
		select {
		case looked <- event.TypedGenericEvent[types.NamespacedName]{Object: pod}:
		case <-ctx.Done():
		}
	})
	r := &HoldReconciler{
		World: &holdWorld{
			cached: mgr.GetClient(), uncached: mgr.GetAPIReader(), pods: pods,
			policy: o.Hold.Policy, terminating: o.Hold.NamespaceTerminating, releasing: o.Hold.Releasing,
			owners:  newFleeting[types.UID, drain.Owner](o.Clock, ownerPeriod),
			budgets: newFleeting[string, []*policyv1.PodDisruptionBudget](o.Clock, budgetPeriod),
		},
		Pods:     o.Hold.Pods,
		Statuses: watcher,
		Teller:   newTeller(ctx, o.Clock, o.Hold.Prober.Tell),
		Observer: &holdObserver{recorder: mgr.GetEventRecorder(eventSource), metrics: o.Hold.Metrics},
		Clock:    o.Clock,
	}
	return r.setup(mgr, looked)
}
