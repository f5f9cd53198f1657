package controllers

import (
	"context"
	"reflect"
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
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// reachers is how many policies' drain statuses are asked for at once. All of
// it is waiting for answers, and the Prober bounds the connections.
const reachers = 64

// ReachReconciler looks at the drain status of one pod of each policy that
// holds deletions, again and again, on the leader: whether it can be read is
// known before a pod is held for it. What becomes of it, the PolicyReconciler
// works out.
type ReachReconciler struct {
	client  client.Client
	clock   clock.PassiveClock
	ask     func(context.Context, *corev1.Pod, *v1alpha1.DrainPolicy) drainstatus.Reading
	surveys *surveys
	reaches *reaches
}

// Reconcile takes one look, and comes back for the next.
func (r *ReachReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.DrainPolicy{}
	if err := r.client.Get(ctx, request.NamespacedName, p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !drain.Holds(p) {
		r.reaches.forget(p.UID)
		return ctrl.Result{}, nil
	}
	found, err := r.surveys.of(ctx, p.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	reach := r.reaches.begin(p)
	pod := condition.PodToAsk(found.coverage[p.Name].Covered, p.Name, reach.Asked)
	if pod == nil {
		return ctrl.Result{RequeueAfter: condition.ReachSoon}, nil
	}
	reading := r.ask(ctx, pod, p)
	if ctx.Err() != nil { // not what the pod said
		return ctrl.Result{}, ctx.Err()
	}
	reach = reach.Looked(pod, reading, r.clock.Now())
	r.reaches.set(request.NamespacedName, p.UID, reach)
	return ctrl.Result{RequeueAfter: afterLook(reach.Next())}, nil
}

// afterLook spreads the looks of many policies where they are rare.
func afterLook(period time.Duration) time.Duration {
	if period == condition.ReachSoon {
		return period
	}
	return jittered(period)
}

func (r *ReachReconciler) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("reach").
		For(&v1alpha1.DrainPolicy{}, builder.WithPredicates(edited())).
		WithOptions(controller.Options{MaxConcurrentReconciles: reachers}).
		Complete(r)
}

// reaches keeps what was read of each policy's pods. It is safe for concurrent
// use; a policy is looked at by one at a time.
type reaches struct {
	mu   sync.Mutex
	kept map[types.UID]*reached
	// changed is called, without the lock, when a look says something new.
	changed func(types.NamespacedName)
}

type reached struct {
	// endpoint is what was asked for.
	endpoint *v1alpha1.HTTPDrainStatus
	reach    condition.Reach
}

func newReaches() *reaches {
	return &reaches{kept: map[types.UID]*reached{}, changed: func(types.NamespacedName) {}}
}

// begin returns what is known of a policy. What another endpoint answered,
// before an edit, says nothing.
func (r *reaches) begin(p *v1alpha1.DrainPolicy) condition.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	endpoint := p.Spec.DrainStatus.HTTP
	if kept := r.kept[p.UID]; kept == nil || !reflect.DeepEqual(kept.endpoint, endpoint) {
		r.kept[p.UID] = &reached{endpoint: endpoint.DeepCopy()}
	}
	return r.kept[p.UID].reach
}

// set keeps a look, unless the policy went meanwhile.
func (r *reaches) set(policy types.NamespacedName, uid types.UID, reach condition.Reach) {
	r.mu.Lock()
	kept, changed, news := r.kept[uid], r.changed, false
	if kept != nil {
		news = kept.reach.Tells(reach)
		kept.reach = reach
	}
	r.mu.Unlock()
	if news {
		changed(policy)
	}
}

func (r *reaches) of(policy types.UID) condition.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	if kept := r.kept[policy]; kept != nil {
		return kept.reach
	}
	return condition.Reach{}
}

func (r *reaches) forget(policy types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.kept, policy)
}

// onChange sets who is told.
func (r *reaches) onChange(changed func(types.NamespacedName)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = changed
}
