package controllers

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/internal/telemetry"
)

// lookers is how many policies are looked at at once. Most of a look is
// waiting for answers.
const lookers = 16

// GraceReconciler looks at the latency of each policy's pods, round by round,
// on the leader. What becomes of it, the PolicyReconciler works out.
type GraceReconciler struct {
	client   client.Client
	clock    clock.PassiveClock
	observer func(*v1alpha1.DrainPolicy) observe.Observer
	surveys  *surveys
	looks    *looks
	metrics  *telemetry.Graces
	// period is the time between two looks at the latency of one policy: what
	// a pod served since the last look is lost when it goes.
	period time.Duration
}

// Reconcile takes one look, and comes back for the next.
func (r *GraceReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.DrainPolicy{}
	if err := r.client.Get(ctx, request.NamespacedName, p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if p.DeletionTimestamp != nil || p.Spec.GracePeriod.Latency == nil {
		r.looks.forget(p.UID)
		return ctrl.Result{}, nil
	}
	found, err := r.surveys.of(ctx, p.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	observer := r.looks.observer(p.UID, func() observe.Observer { return r.observer(p) })
	look := r.look(ctx, observer, observe.Target{
		Policy: p, Pods: running(found.coverage[p.Name].Covered), Now: r.clock.Now(),
	})
	if ctx.Err() != nil { // not what the source said
		return ctrl.Result{}, ctx.Err()
	}
	r.looks.set(request.NamespacedName, p.UID, look)
	return ctrl.Result{RequeueAfter: jittered(r.period)}, nil
}

// look asks the observer. Whatever it fails with is a look, too.
func (r *GraceReconciler) look(ctx context.Context, observer observe.Observer, target observe.Target) condition.Look {
	start := r.clock.Now()
	summary, err := observer.Observe(ctx, target)
	look := condition.Look{At: target.Now}
	switch failure := (*observe.Failure)(nil); {
	case err == nil:
		look.Summary = &summary
	case errors.As(err, &failure):
		look.Reason, look.Message = failure.Reason, failure.Message
	default:
		look.Reason, look.Message = v1alpha1.ReasonSourceUnavailable, err.Error()
	}
	r.metrics.Looked(look.Reason, r.clock.Since(start))
	return look
}

// running are the pods that can be asked. Those that are being deleted are left
// alone: each look is a connection, which to their agent is traffic, and could
// keep them waiting for its end. What they still serve, their drains tell.
func running(pods []*corev1.Pod) []*corev1.Pod {
	var found []*corev1.Pod
	for _, pod := range pods {
		if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
			found = append(found, pod)
		}
	}
	return found
}

// jittered spreads the looks of many policies over the period.
func jittered(period time.Duration) time.Duration {
	return period - time.Duration(rand.Int64N(int64(period/10))) //nolint:gosec // no secret
}

func (r *GraceReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("latency").
		For(&v1alpha1.DrainPolicy{}, builder.WithPredicates(edited())).
		WithOptions(controller.Options{MaxConcurrentReconciles: lookers}).
		Complete(r)
}

// looks keeps the last look at each policy's latency, and who looks. It is
// safe for concurrent use; a policy is looked at by one at a time.
type looks struct {
	mu   sync.Mutex
	last map[types.UID]*looked
	// changed is called, without the lock, after each look.
	changed func(types.NamespacedName)
}

type looked struct {
	observer observe.Observer
	look     condition.Look
}

func newLooks() *looks {
	return &looks{last: map[types.UID]*looked{}, changed: func(types.NamespacedName) {}}
}

func (l *looks) observer(policy types.UID, make func() observe.Observer) observe.Observer {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last[policy] == nil {
		l.last[policy] = &looked{observer: make()}
	}
	return l.last[policy].observer
}

// set keeps a look, unless the policy went meanwhile.
func (l *looks) set(policy types.NamespacedName, uid types.UID, look condition.Look) {
	l.mu.Lock()
	kept, changed := l.last[uid], l.changed
	if kept != nil {
		kept.look = look
	}
	l.mu.Unlock()
	if kept != nil {
		changed(policy)
	}
}

func (l *looks) of(policy types.UID) condition.Look {
	l.mu.Lock()
	defer l.mu.Unlock()
	if kept := l.last[policy]; kept != nil {
		return kept.look
	}
	return condition.Look{}
}

func (l *looks) forget(policy types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, policy)
}

// onChange sets who is told of looks.
func (l *looks) onChange(changed func(types.NamespacedName)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed = changed
}
