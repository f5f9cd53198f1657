// Package controllers holds the operator's controllers.
package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/front"
	"github.com/drain-operator/drain-operator/internal/grace"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/telemetry"
)

// +kubebuilder:rbac:groups=drain-operator.dev,resources=drainpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=drain-operator.dev,resources=drainpolicies/status,verbs=update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// catchUp is how long to wait for the cache, when it is behind what is known
// to be written.
const catchUp = 50 * time.Millisecond

// PolicyReconciler writes the status of DrainPolicies. It is the only writer,
// and runs on the leader only.
type PolicyReconciler struct {
	client   client.Client
	clock    clock.PassiveClock
	options  func() plan.Options
	recorder events.EventRecorder
	metrics  *telemetry.Drains
	tracker  *Tracker
	canaries *canaries
	surveys  *surveys
	doubts   *doubts
	looks    *looks
	reaches  *reaches
	// deadlines of rollouts, for policies that hold deletions.
	deadlines *listings[condition.Deadline]
	// fronts of the namespaces with a policy, and when workloads there were
	// deployed.
	fronts   *listings[front.Front]
	deployed *listings[condition.Deployed]
	graces   *telemetry.Graces
	holds    *telemetry.Holds
	ceilings condition.Ceilings
	histories
}

// Reconcile works out the whole status of one policy, and writes it when
// something changed.
func (r *PolicyReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.DrainPolicy{}
	err := r.client.Get(ctx, request.NamespacedName, p)
	if apierrors.IsNotFound(err) { // after a last visit may have set some again
		r.metrics.Forget(request.Namespace, request.Name)
		r.graces.Forget(request.Namespace, request.Name)
		r.holds.Forget(request.Namespace, request.Name)
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if p.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	drains := r.tracker.Of(p)
	if !drains.Current {
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	r.settle(p)
	facts, due, err := r.gather(ctx, p, drains)
	if err != nil {
		return ctrl.Result{}, err
	}
	decision, err := r.publish(ctx, facts, drains.Pending)
	if apierrors.IsConflict(err) { // somebody changed the policy meanwhile
		return ctrl.Result{RequeueAfter: catchUp}, nil
	}
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.metrics.Draining(p.Namespace, p.Name, len(drains.Draining))
	r.holds.Held(p.Namespace, p.Name, decision.Status.Held)
	return ctrl.Result{RequeueAfter: next(facts.Now, due, decision)}, nil
}

// gather collects all that the status is worked out from, and says when the
// canary is due again.
func (r *PolicyReconciler) gather(ctx context.Context, p *v1alpha1.DrainPolicy, drains Drains) (condition.Facts, time.Time, error) {
	trial, due := r.canaries.current(ctx, p)
	found, err := r.surveys.of(ctx, p.Namespace)
	if err != nil {
		return condition.Facts{}, due, err
	}
	coverage, now, look := found.coverage[p.Name], r.clock.Now(), r.looks.of(p.UID)
	notice, err := r.noticeOf(ctx, coverage.Covered)
	if err != nil {
		return condition.Facts{}, due, err
	}
	recommended := r.recommend(p, grace.Facts{
		Spec: &p.Spec, Latency: look.Summary, Drains: newestFirst(drains.Pending, p.Status.RecentDrains),
		OwnSeconds: condition.OwnGrace(coverage.Covered), Was: p.Status.GracePeriod, Now: now,
	})
	r.graces.Recommended(p.Namespace, p.Name, look.Summary, recommended)
	options := r.options()
	facts := condition.Facts{
		Policy:          p,
		Coverage:        coverage,
		AgentPods:       found.agents,
		AgentImage:      options.AgentImage,
		EmptyDirAvoided: options.EmptyDirAvoided(),
		Trial:           trial,
		Draining:        drains.Draining,
		Grace:           recommended,
		Look:            look,
		Ceilings:        r.ceilings,
		Notice:          notice,
		Reach:           r.reaches.of(p.UID),
		Deadlines:       r.deadlines.of(ctx, p),
		Fronts:          r.fronts.of(ctx, p),
		Held:            found.wished[p.Name],
		Now:             now,
	}
	if condition.LongLivedSeen(newestFirst(drains.Pending, p.Status.RecentDrains)) {
		facts.Deployed = r.deployed.of(ctx, p)
	}
	return facts, due, nil
}

// newestFirst puts drains that are not published yet before those that are.
func newestFirst(pending, published []v1alpha1.DrainRecord) []v1alpha1.DrainRecord {
	newest := slices.Clone(pending)
	slices.Reverse(newest)
	return slices.Concat(newest, published)
}

// publish writes the status, and again while there are more ended drains than
// one version of it can list: the other replicas learn from that list which
// drains are counted.
func (r *PolicyReconciler) publish(ctx context.Context, facts condition.Facts, pending []v1alpha1.DrainRecord) (condition.Decision, error) {
	var decision condition.Decision
	draining := facts.Draining
	for {
		facts.Ended = pending[:min(len(pending), condition.MaxRecentDrains)]
		pending = pending[len(facts.Ended):]
		facts.Draining = slices.Concat(draining, uncounted(pending))
		decision = condition.Decide(facts)
		written, err := r.write(ctx, facts.Policy, decision, facts.Ended)
		if err != nil {
			return decision, err
		}
		facts.Policy = written
		if len(pending) == 0 {
			return decision, nil
		}
	}
}

// uncounted lists ended drains as going on until they are counted: should no
// replica live to do so, the next one counts what is listed as unobserved.
func uncounted(pending []v1alpha1.DrainRecord) []v1alpha1.DrainingPod {
	listed := make([]v1alpha1.DrainingPod, len(pending))
	for i, r := range pending {
		began := r.EndedAt.Add(-time.Duration(r.DurationSeconds) * time.Second)
		listed[i] = v1alpha1.DrainingPod{Name: r.Pod, UID: r.UID, Since: metav1.NewTime(began)}
	}
	return listed
}

// write updates the status if it differs. The update carries the resource
// version from which it was worked out: a drain is counted exactly when it
// appears in the list, whatever becomes of the answer.
func (r *PolicyReconciler) write(ctx context.Context, p *v1alpha1.DrainPolicy, d condition.Decision, ended []v1alpha1.DrainRecord) (*v1alpha1.DrainPolicy, error) {
	if equality.Semantic.DeepEqual(p.Status, d.Status) {
		return p, nil
	}
	updated := p.DeepCopy()
	updated.Status = d.Status
	if err := r.client.Status().Update(ctx, updated); err != nil {
		r.doubts.add(p, ended, err)
		return p, fmt.Errorf("writing the status: %w", err)
	}
	r.tracker.SawPolicy(updated)
	r.doubts.forget(p.UID)
	r.count(updated, ended)
	for _, e := range d.Events {
		r.recorder.Eventf(updated, nil, e.Type, e.Reason, e.Action, "%s", e.Message)
	}
	return updated, nil
}

func (r *PolicyReconciler) count(p *v1alpha1.DrainPolicy, ended []v1alpha1.DrainRecord) {
	for _, record := range ended {
		r.metrics.Drained(p.Namespace, p.Name, record)
	}
}

// settle counts drains whose update failed and was done all the same.
func (r *PolicyReconciler) settle(p *v1alpha1.DrainPolicy) {
	r.count(p, r.doubts.settle(p))
}

// next is when time alone may change the decision.
func next(now, due time.Time, d condition.Decision) time.Duration {
	trial := max(due.Sub(now), catchUp)
	if d.After == 0 {
		return trial
	}
	return min(trial, d.After)
}
