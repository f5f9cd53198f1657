package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/grace"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/telemetry"
)

// coalesce is how long changes of pods are gathered before a policy's status
// is worked out again: a rollout gives one write a second, not one per pod.
const coalesce = time.Second

// eventSource is the reporting controller of the operator's events.
const eventSource = "drain-operator.dev/drain-operator"

// Options of the controllers. All are required but Ceilings.
type Options struct {
	// Plan returns what pods are planned with now, but for the breaker.
	Plan    func() plan.Options
	Metrics *telemetry.Drains
	Graces  *telemetry.Graces
	Clock   clock.PassiveClock
	// Observer returns who looks at the latency of a policy's pods.
	Observer func(*v1alpha1.DrainPolicy) observe.Observer
	// LookPeriod is the time between two looks at the latency of one policy,
	// at least 100 ms.
	LookPeriod time.Duration
	// Ceilings of the platform; the zero value knows of none.
	Ceilings condition.Ceilings
	// Hold is what holding deletions needs.
	Hold HoldOptions
}

// Setup adds the controllers to the manager: the tracker of drains on every
// replica, the writer of statuses on the leader.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if o.Plan == nil || o.Metrics == nil || o.Graces == nil || o.Clock == nil || o.Observer == nil || o.LookPeriod < 100*time.Millisecond || o.Hold.missing() {
		return errors.New("setting up the controllers: an option is missing")
	}
	r := newPolicyReconciler(mgr.GetClient(), mgr.GetAPIReader(), o)
	r.recorder = mgr.GetEventRecorder(eventSource)
	var err error
	if r.surveys.pods, err = cachedPods(ctx, mgr.GetCache()); err != nil {
		return err
	}
	if err := r.tracker.Watch(ctx, mgr, r.forget); err != nil {
		return fmt.Errorf("tracking drains: %w", err)
	}
	looking := &GraceReconciler{
		client: r.client, clock: o.Clock, observer: o.Observer, surveys: r.surveys, looks: r.looks, metrics: o.Graces, period: o.LookPeriod,
	}
	reaching := &ReachReconciler{client: r.client, clock: o.Clock, ask: o.Hold.Prober.Ask, surveys: r.surveys, reaches: r.reaches}
	return errors.Join(r.setup(mgr), looking.setup(mgr), reaching.setup(mgr), setupHold(ctx, mgr, o, r.surveys.pods))
}

func newPolicyReconciler(c client.Client, uncached client.Reader, o Options) *PolicyReconciler {
	return &PolicyReconciler{
		client:    c,
		clock:     o.Clock,
		options:   o.Plan,
		metrics:   o.Metrics,
		tracker:   NewTracker(o.Clock, o.Metrics.Dropped),
		canaries:  &canaries{client: c, uncached: uncached, clock: o.Clock, options: o.Plan, last: map[types.UID]attempt{}},
		surveys:   &surveys{cache: c, pods: podsIn(c), clock: o.Clock, options: o.Plan, made: map[string]*survey{}},
		doubts:    &doubts{open: map[types.UID]doubt{}},
		looks:     newLooks(),
		reaches:   newReaches(),
		holds:     o.Hold.Metrics,
		deadlines: newDeadlines(uncached, o.Clock),
		fronts:    newFronts(uncached, o.Clock),
		deployed:  newDeployed(uncached, o.Clock),
		graces:    o.Graces,
		ceilings:  o.Ceilings,
		histories: histories{kept: map[types.UID]grace.History{}},
	}
}

// forget drops what is kept about a policy that is gone, at once.
func (r *PolicyReconciler) forget(p *v1alpha1.DrainPolicy) {
	r.metrics.Forget(p.Namespace, p.Name)
	r.canaries.forget(p.UID)
	r.graces.Forget(p.Namespace, p.Name)
	r.holds.Forget(p.Namespace, p.Name)
	r.doubts.forget(p.UID)
	r.looks.forget(p.UID)
	r.reaches.forget(p.UID)
	r.histories.forget(p.UID)
}

func (r *PolicyReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("drainpolicy").
		Watches(&v1alpha1.DrainPolicy{}, r.onPolicy(), builder.WithPredicates(edited())).
		Watches(&corev1.Pod{}, r.onPod(), builder.WithPredicates(podChanged())).
		WatchesRawSource(source.Func(r.onDrain)).
		WatchesRawSource(source.Func(r.onLook)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
}

// onDrain wakes a policy whose drains changed, from when this replica leads.
func (r *PolicyReconciler) onDrain(_ context.Context, q queue) error {
	r.tracker.onChange(func(policy types.NamespacedName) {
		q.AddAfter(reconcile.Request{NamespacedName: policy}, coalesce)
	})
	return nil
}

// onLook wakes a policy whose latency, or whose drain status, was looked at.
func (r *PolicyReconciler) onLook(_ context.Context, q queue) error {
	wake := func(policy types.NamespacedName) { q.Add(reconcile.Request{NamespacedName: policy}) }
	r.looks.onChange(wake)
	r.reaches.onChange(wake)
	return nil
}
