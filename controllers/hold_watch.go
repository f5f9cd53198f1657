package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// mayBeHeld lets those changes of pods through that can change what becomes of
// them: only pods with our readiness gate are ever held. One that nobody has set
// yet is the ReadinessReconciler's.
func mayBeHeld() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		pod, ok := o.(*corev1.Pod)
		if !ok {
			return false
		}
		_, asked := drain.WishOf(pod)
		return drain.HasReadinessGate(pod) && (asked || !isUnset(pod))
	})
}

// setup adds the reconciler to the manager. looked gives the pods whose drain
// status showed something new.
func (r *HoldReconciler) setup(mgr ctrl.Manager, looked <-chan event.TypedGenericEvent[types.NamespacedName]) error {
	toPod := handler.TypedFuncs[types.NamespacedName, reconcile.Request]{
		GenericFunc: func(_ context.Context, e event.TypedGenericEvent[types.NamespacedName], q queue) {
			q.Add(reconcile.Request{NamespacedName: e.Object})
		},
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("hold").
		For(&corev1.Pod{}, builder.WithPredicates(mayBeHeld())).
		Watches(&v1alpha1.DrainPolicy{}, handler.EnqueueRequestsFromMapFunc(r.podsOf), builder.WithPredicates(edited())).
		WatchesRawSource(source.TypedChannel(looked, toPod)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: holders,
			// A pod is never left alone for long, whatever fails.
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 5*time.Second),
		}).
		Complete(r)
}

// podsOf are the pods that an edit of a policy may concern: an edit acts at
// once on held pods, whoever wins them.
func (r *HoldReconciler) podsOf(ctx context.Context, policy client.Object) []reconcile.Request {
	pods, err := r.World.Pods(ctx, policy.GetNamespace())
	if err != nil { // held pods are looked at every ownerPeriod anyway
		return nil
	}
	var requests []reconcile.Request
	for _, pod := range pods {
		if _, asked := drain.WishOf(pod); asked || drain.OutOfRotation(pod) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(pod)})
		}
	}
	return requests
}
