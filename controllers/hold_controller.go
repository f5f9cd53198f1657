package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/write"
)

const (
	// holders is how many held pods are worked on at once: most of it is
	// waiting for the API server.
	holders = 32

	// ownerPeriod is how often the owner of a held pod is looked at: it is not
	// watched, and may want its pod back.
	ownerPeriod = 2 * time.Second

	// staleFor is how long a write of ours may take to come back through the
	// cache before the pod is worked on as the cache shows it.
	staleFor = 2 * time.Second

	// outdatedFor is how long it is waited for the cache to show what somebody
	// else has written: mostly, it comes sooner.
	outdatedFor = 200 * time.Millisecond
)

// HoldWorld is what the HoldReconciler reads. What it returns is not changed.
type HoldWorld interface {
	// Pod from the cache, nil when there is none.
	Pod(ctx context.Context, pod types.NamespacedName) (*corev1.Pod, error)
	// Pods of a namespace, from the cache.
	Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error)
	// Policy from the cache, nil when there is none.
	Policy(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error)
	// NamespaceTerminating from the cache.
	NamespaceTerminating(ctx context.Context, namespace string) (bool, error)
	// Releasing says that an uninstall is under way.
	Releasing() bool
	// Owner of a pod, at most ownerPeriod old.
	Owner(ctx context.Context, pod *corev1.Pod) (drain.Owner, error)
	// Budgets of a namespace, at most half a second old.
	Budgets(ctx context.Context, namespace string) ([]*policyv1.PodDisruptionBudget, error)
}

// StatusWatcher looks at drain statuses again and again; see probe.Watcher.
type StatusWatcher interface {
	Follow(pod *corev1.Pod, policy *v1alpha1.DrainPolicy)
	Seen(pod types.UID) drain.Watched
	Forget(pod types.UID)
}

// Teller tells workloads, in the background and until they have heard it or
// some tries have failed, whether they drain. Of one pod, the last word counts.
type Teller interface {
	Tell(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool)
}

// HoldObserver is told of beginnings and ends of holds, for events and metrics.
type HoldObserver interface {
	Began(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, message string)
	// Ended is also told how long the pod was held. The policy is nil when it is gone.
	Ended(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, end drain.HoldEnd, message string, held time.Duration)
}

// HoldReconciler holds pods under hold Deletion until they have drained, on the
// leader. All that must outlive it is in the pods' conditions; what it keeps in
// memory, the next leader finds out again.
type HoldReconciler struct {
	World HoldWorld
	// Pods writes to pods only as they are known; see write.AsKnown.
	Pods     write.Pods
	Statuses StatusWatcher
	Teller   Teller
	Observer HoldObserver
	Clock    clock.PassiveClock

	memory holdMemory
}

// Reconcile does what is to be done with one pod now. Where the pod has changed
// since the cache saw it, nothing is done: what came meanwhile may say otherwise.
func (r *HoldReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	result, err := r.reconcile(ctx, request)
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: outdatedFor}, nil
	}
	return result, err
}

func (r *HoldReconciler) reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	pod, err := r.World.Pod(ctx, request.NamespacedName)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the pod: %w", err)
	}
	if r.over(request.NamespacedName, pod) {
		return ctrl.Result{}, nil
	}
	if wait := r.memory.stale(pod, r.Clock.Now()); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	situation, err := r.look(ctx, pod)
	if err != nil {
		return ctrl.Result{}, err
	}
	step, err := r.next(ctx, situation)
	if err != nil {
		return ctrl.Result{}, err
	}
	if step.Release == nil {
		return r.do(ctx, situation, step)
	}
	refusal := r.release(ctx, situation, step)
	if !isRefusal(refusal) {
		return ctrl.Result{}, refusal
	}
	return r.refused(ctx, situation, refusal)
}

// over says that there is nothing to hold: the pod is gone, another one has its
// name, it ends, or it was never one of ours.
func (r *HoldReconciler) over(key types.NamespacedName, pod *corev1.Pod) bool {
	if pod != nil && pod.DeletionTimestamp == nil && drain.HasReadinessGate(pod) {
		r.drop(key, pod.UID)
		return false
	}
	r.drop(key, "")
	return true
}

// drop forgets what is kept of pods that had this name, but for one.
func (r *HoldReconciler) drop(key types.NamespacedName, but types.UID) {
	for _, gone := range r.memory.others(key, but) {
		r.Statuses.Forget(gone.pod.UID)
		if gone.since.IsZero() { // no hold of it began, or its end was told
			continue
		}
		r.Observer.Ended(gone.pod, gone.policy, drain.EndGone, "somebody else's deletion went through", r.Clock.Since(gone.since))
	}
}

// look gathers what is known. What only held pods need is read for those only.
func (r *HoldReconciler) look(ctx context.Context, pod *corev1.Pod) (drain.Situation, error) {
	s := drain.Situation{Pod: pod, Releasing: r.World.Releasing(), Watched: r.Statuses.Seen(pod.UID)}
	s.Refused, s.ByBudget = r.memory.refusal(pod)
	var errs [4]error
	if name, _, ok := plan.InjectedBy(pod); ok {
		s.Policy, errs[0] = r.World.Policy(ctx, pod.Namespace, name)
	}
	if _, asked := drain.WishOf(pod); asked {
		s.NamespaceTerminating, errs[1] = r.World.NamespaceTerminating(ctx, pod.Namespace)
		s.Owner, errs[2] = r.World.Owner(ctx, pod)
		s.Budgets, errs[3] = r.World.Budgets(ctx, pod.Namespace)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return s, fmt.Errorf("looking at a pod that is to end: %w", err)
	}
	return s, nil
}

// next decides, one pod at a time: what one takes from a disruption budget, the
// next one must see. The other pods are read only now: the memory of those that
// leave ends when the cache shows it.
func (r *HoldReconciler) next(ctx context.Context, s drain.Situation) (drain.Step, error) {
	r.memory.deciding.Lock()
	defer r.memory.deciding.Unlock()
	if _, asked := drain.WishOf(s.Pod); asked {
		var err error
		if s.Neighbours, err = r.World.Pods(ctx, s.Pod.Namespace); err != nil {
			return drain.Step{}, fmt.Errorf("looking at the other pods: %w", err)
		}
	}
	now := r.Clock.Now()
	s.Leaving = r.memory.leaving(s.Neighbours, s.Pod.UID, now)
	step := drain.Next(s, now)
	if step.Leaves {
		r.memory.leaves(s.Pod, now)
	}
	return step, nil
}

// release asks for the pod's end.
func (r *HoldReconciler) release(ctx context.Context, s drain.Situation, step drain.Step) error {
	if err := r.Pods.Release(ctx, s.Pod, *step.Release); err != nil {
		return fmt.Errorf("releasing the pod: %w", err)
	}
	logf.FromContext(ctx).Info("released", "why", step.Release.Why, "as", step.Release.Kind, "policy", nameOf(s.Policy))
	r.memory.leaves(s.Pod, r.Clock.Now())
	r.memory.wrote(s.Pod, r.Clock.Now())
	r.ended(s, step.Release.Why, step.Message)
	return nil
}

// isRefusal says that the API server answered that it does not let the pod go:
// its disruption budget (429), an admission policy (403), whatever fails there
// (500). That the pod has changed is to be looked at again; and of what was not
// answered, nobody knows whether it was done.
func isRefusal(err error) bool {
	var answer apierrors.APIStatus
	return errors.As(err, &answer) && answer.Status().Code >= http.StatusBadRequest &&
		!apierrors.IsConflict(err) && !apierrors.IsNotFound(err)
}

// refused does what is left of a step whose release was refused: the pod's
// condition then lets everybody else through who asks. What a budget refuses
// comes by itself; of anything else somebody has to know.
func (r *HoldReconciler) refused(ctx context.Context, s drain.Situation, refusal error) (ctrl.Result, error) {
	byBudget := apierrors.IsTooManyRequests(refusal)
	r.memory.refused(s.Pod, condition.Shorten(refusal.Error()), byBudget)
	s.Refused, s.ByBudget = r.memory.refusal(s.Pod)
	step, err := r.next(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.do(ctx, s, step)
	if err != nil || byBudget {
		return result, err
	}
	return ctrl.Result{}, refusal
}

// do does all of a step but the release, and says when to look again.
func (r *HoldReconciler) do(ctx context.Context, s drain.Situation, step drain.Step) (ctrl.Result, error) {
	if len(step.Conditions) > 0 {
		if err := r.Pods.SetConditions(ctx, s.Pod, step.Conditions); err != nil {
			r.memory.failed(s.Pod)
			return ctrl.Result{}, fmt.Errorf("writing the pod's conditions: %w", err)
		}
		r.memory.wrote(s.Pod, r.Clock.Now())
	}
	if step.Watch && s.Policy != nil {
		r.Statuses.Follow(s.Pod, s.Policy)
	} else {
		r.Statuses.Forget(s.Pod.UID)
	}
	if step.TellDraining != nil && s.Policy != nil {
		r.Teller.Tell(s.Pod, s.Policy, *step.TellDraining)
	}
	r.tell(ctx, s, step)
	return ctrl.Result{RequeueAfter: r.again(s, step)}, nil
}

// tell says what began or ended, once each, and remembers what goes on.
func (r *HoldReconciler) tell(ctx context.Context, s drain.Situation, step drain.Step) {
	switch {
	case step.Began:
		if !r.memory.began(s.Pod, s.Policy, r.since(s.Pod)) {
			return
		}
		logf.FromContext(ctx).Info("held", "policy", nameOf(s.Policy), "message", step.Message)
		r.Observer.Began(s.Pod, s.Policy, step.Message)
	case step.WaitingFor != "" || step.Watch:
		r.memory.goesOn(s.Pod, s.Policy, r.since(s.Pod))
	case step.Ended != "":
		logf.FromContext(ctx).Info("no longer held", "why", step.Ended, "policy", nameOf(s.Policy))
		r.ended(s, step.Ended, step.Message)
	}
}

func (r *HoldReconciler) ended(s drain.Situation, why drain.HoldEnd, message string) {
	r.memory.ended(s.Pod)
	r.Observer.Ended(s.Pod, s.Policy, why, message, r.Clock.Since(r.since(s.Pod)))
}

// since is when a pod's end was first refused; now, when that is not known.
func (r *HoldReconciler) since(pod *corev1.Pod) time.Time {
	if wish, asked := drain.WishOf(pod); asked {
		return wish.Since
	}
	return r.Clock.Now()
}

// again is when to look again: when time alone may change the step, or the
// owner its mind.
func (r *HoldReconciler) again(s drain.Situation, step drain.Step) time.Duration {
	if _, asked := drain.WishOf(s.Pod); !asked {
		return step.After
	}
	if step.After == 0 {
		return jittered(ownerPeriod)
	}
	return min(step.After, jittered(ownerPeriod))
}

func nameOf(p *v1alpha1.DrainPolicy) string {
	if p == nil {
		return ""
	}
	return p.Name
}
