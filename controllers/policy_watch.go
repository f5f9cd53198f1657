package controllers

import (
	"context"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// edited passes on edits of a policy's spec, and another policy of the same
// name: where the deletion of the first one was missed, that is an update, too.
func edited() predicate.Predicate {
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID()
	}})
}

// podChanged passes on the changes of a pod that can change a status, or whose
// latency is looked at and where. Most are not: probes, conditions, start times.
func podChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok1 := e.ObjectOld.(*corev1.Pod)
		after, ok2 := e.ObjectNew.(*corev1.Pod)
		return ok1 && ok2 && tells(before, after)
	}}
}

func tells(before, after *corev1.Pod) bool {
	return before.UID != after.UID || // whose deletion was missed
		!maps.Equal(before.Labels, after.Labels) ||
		!maps.Equal(before.Annotations, after.Annotations) ||
		before.Status.Phase != after.Status.Phase ||
		before.Status.PodIP != after.Status.PodIP ||
		(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil) ||
		agentTells(before, after) ||
		holdTells(before, after)
}

// holdTells says that a hold began or ended, that it waits for something else,
// or that a pod that may be held can be asked for its drain status from now on,
// or no longer.
func holdTells(before, after *corev1.Pod) bool {
	if drain.HasReadinessGate(after) && condition.CanBeAsked(before) != condition.CanBeAsked(after) {
		return true
	}
	_, a := drain.WishOf(before)
	_, b := drain.WishOf(after)
	return a != b || drain.HeldFor(before) != drain.HeldFor(after)
}

// agentTells says that the agent got into trouble, out of it, or started.
func agentTells(before, after *corev1.Pod) bool {
	a, _ := condition.AgentIn(before)
	b, _ := condition.AgentIn(after)
	return a.Started != b.Started || a.Trouble != b.Trouble
}

// onPod wakes the policies that a pod's change may concern.
func (r *PolicyReconciler) onPod() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList { // every policy is visited at the start anyway
				r.wakeForPods(ctx, q, e.Object)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			r.wakeForPods(ctx, q, e.ObjectOld, e.ObjectNew)
		},
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { r.wakeForPods(ctx, q, e.Object) },
	}
}

// wakeForPods wakes the policies that select one of the pods, or all of the
// namespace when the agent is in trouble: the breaker concerns them all.
func (r *PolicyReconciler) wakeForPods(ctx context.Context, q queue, states ...client.Object) {
	namespace := states[0].GetNamespace()
	r.surveys.podsChanged(namespace)
	concerns := func(p *v1alpha1.DrainPolicy) bool { return selectsAny(p, states) }
	if agentInTrouble(states) {
		concerns = func(*v1alpha1.DrainPolicy) bool { return true }
	}
	r.wake(ctx, q, namespace, concerns)
}

func agentInTrouble(states []client.Object) bool {
	for _, s := range states {
		if pod, ok := s.(*corev1.Pod); ok {
			if agent, found := condition.AgentIn(pod); found && agent.Trouble != "" {
				return true
			}
		}
	}
	return false
}

func selectsAny(p *v1alpha1.DrainPolicy, states []client.Object) bool {
	return slices.ContainsFunc(states, func(s client.Object) bool { return condition.Selects(p.Spec.Selector, s.GetLabels()) })
}

// onPolicy wakes a policy that came or was changed at once, and its neighbours
// in the namespace: who wins which pods may change with it.
func (r *PolicyReconciler) onPolicy() handler.EventHandler {
	wake := func(ctx context.Context, q queue, changed client.Object) {
		r.surveys.policiesChanged(changed.GetNamespace())
		q.Add(reconcile.Request{NamespacedName: client.ObjectKeyFromObject(changed)})
		r.wake(ctx, q, changed.GetNamespace(), func(p *v1alpha1.DrainPolicy) bool { return p.Name != changed.GetName() })
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { wake(ctx, q, e.Object) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { wake(ctx, q, e.ObjectNew) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { wake(ctx, q, e.Object) },
	}
}

func (r *PolicyReconciler) wake(ctx context.Context, q queue, namespace string, concerns func(*v1alpha1.DrainPolicy) bool) {
	policies, err := policiesIn(ctx, r.client, namespace)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot tell which policies a change concerns", "namespace", namespace)
		return
	}
	for _, p := range policies {
		if concerns(p) {
			q.AddAfter(reconcile.Request{NamespacedName: keyOf(p)}, coalesce)
		}
	}
}
