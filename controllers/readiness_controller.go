package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/write"
)

const (
	// reasonInRotation is the reason of the condition that is set on new pods.
	reasonInRotation = "InRotation"

	// leadersTurn is how long the other replicas give the leader to set a
	// readiness gate.
	leadersTurn = 500 * time.Millisecond

	// gateSetters is how many gates are set at once: a rollout makes many pods
	// in one moment, and each of them waits.
	gateSetters = 32
)

// ReadinessReconciler sets the readiness gate of pods that have it and nobody
// has set: new ones, and those of which somebody took the condition. It runs on
// every replica, so that no pod waits for a leader. What takes a pod out of
// rotation and brings it back is the HoldReconciler's.
type ReadinessReconciler struct {
	// Cached reads pods.
	Cached  client.Reader
	Pods    write.Pods
	Metrics *telemetry.ReadinessGates
	Clock   clock.PassiveClock
	// Elected is closed once this replica leads.
	Elected <-chan struct{}

	gates unsetGates
}

// SetupWithManager adds the reconciler to the manager.
func (r *ReadinessReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("readiness").
		Watches(&corev1.Pod{}, r.onPod()).
		WithOptions(controller.Options{
			NeedLeaderElection:      ptr.To(false),
			MaxConcurrentReconciles: gateSetters,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](20*time.Millisecond, 5*time.Second),
		}).
		Complete(r)
}

// onPod queues pods whose gate is to be set: the leader's at once, and
// otherwise when the leader has had its turn.
func (r *ReadinessReconciler) onPod() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { r.saw(e.Object, e.IsInInitialList, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			if gone := e.ObjectOld.GetUID(); gone != e.ObjectNew.GetUID() { // whose deletion was missed
				r.gates.forget(gone)
			}
			r.saw(e.ObjectNew, false, q)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) { r.gates.forget(e.Object.GetUID()) },
	}
}

// saw is called for every change of every pod: it must be quick.
func (r *ReadinessReconciler) saw(obj client.Object, before bool, q queue) {
	pod, ok := obj.(*corev1.Pod)
	if !ok || !drain.HasReadinessGate(pod) {
		return
	}
	if !isUnset(pod) {
		r.gates.forget(pod.UID)
		return
	}
	since := r.Clock.Now()
	if before {
		since = pod.CreationTimestamp.Time
	}
	r.gates.saw(pod.UID, since)
	request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(pod)}
	if r.leads() {
		q.Add(request)
	} else {
		q.AddAfter(request, leadersTurn)
	}
}

func (r *ReadinessReconciler) leads() bool {
	select {
	case <-r.Elected:
		return true
	default:
		return false
	}
}

// Reconcile sets the gate of one pod.
func (r *ReadinessReconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	pod := &corev1.Pod{}
	err := r.Cached.Get(ctx, request.NamespacedName, pod)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading a pod: %w", err)
	}
	if !isUnset(pod) {
		return reconcile.Result{}, nil
	}
	now := r.Clock.Now()
	if wait := r.gates.stale(pod.UID, now); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	since := r.gates.writes(pod.UID, now)
	if err := r.Pods.SetConditions(ctx, pod, []corev1.PodCondition{inRotation(now)}); err != nil {
		r.gates.failed(pod.UID)
		return reconcile.Result{}, fmt.Errorf("setting a readiness gate: %w", err)
	}
	if !since.IsZero() {
		r.Metrics.Set(max(0, r.Clock.Since(since)))
	}
	return reconcile.Result{}, nil
}

// isUnset says that a pod has the gate, nobody has set it, and it matters.
func isUnset(pod *corev1.Pod) bool {
	return drain.HasReadinessGate(pod) && pod.DeletionTimestamp == nil &&
		pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed &&
		!slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == v1alpha1.PodInRotation })
}

func inRotation(now time.Time) corev1.PodCondition {
	return corev1.PodCondition{
		Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, Reason: reasonInRotation,
		LastProbeTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
	}
}
