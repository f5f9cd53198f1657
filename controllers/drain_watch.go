package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list;watch

// reasonFailedHook is the kubelet's event for a preStop hook that failed.
const reasonFailedHook = "FailedPreStopHook"

// Watch feeds the tracker from informers, on every replica. The final status
// of a pod and the end of its object reach watchers milliseconds apart: only
// a handler sees every state, a reconcile by key comes too late.
func (t *Tracker) Watch(ctx context.Context, mgr ctrl.Manager, forget func(*v1alpha1.DrainPolicy)) error {
	policies, err := handle(ctx, mgr.GetCache(), &v1alpha1.DrainPolicy{}, t.policyHandler(forget))
	if err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	pods, err := handle(ctx, mgr.GetCache(), &corev1.Pod{}, t.podHandler())
	if err != nil {
		return fmt.Errorf("watching pods: %w", err)
	}
	t.onSync(func() bool { return policies.HasSynced() && pods.HasSynced() })
	return t.watchHooks(ctx, mgr)
}

func (t *Tracker) policyHandler(forget func(*v1alpha1.DrainPolicy)) toolscache.ResourceEventHandler {
	gone := func(p *v1alpha1.DrainPolicy, _ bool) {
		t.ForgetPolicy(keyOf(p))
		forget(p)
	}
	return handlerOf(t.SawPolicy, gone)
}

func (t *Tracker) podHandler() toolscache.ResourceEventHandler {
	return handlerOf(t.SawPod, t.SawPodGo)
}

// handlerOf tells of objects that are there, and of those that are gone. Where
// the watch had to start over, the deletion of one may have been missed (gone is
// told so); if another has its name by then, that is an update to the informer.
func handlerOf[T client.Object](saw func(T), gone func(object T, missed bool)) toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { on(obj, saw) },
		UpdateFunc: func(before, after any) {
			was, ok1 := before.(T)
			is, ok2 := after.(T)
			if ok1 && ok2 && was.GetUID() != is.GetUID() {
				gone(was, true)
			}
			on(after, saw)
		},
		DeleteFunc: func(obj any) { onGone(obj, gone) },
	}
}

// watchHooks follows the kubelet's events about failed hooks, in a cache of
// its own that holds no other events.
func (t *Tracker) watchHooks(ctx context.Context, mgr ctrl.Manager) error {
	events, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme:     mgr.GetScheme(),
		HTTPClient: mgr.GetHTTPClient(),
		Mapper:     mgr.GetRESTMapper(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Event{}: {Field: fields.OneTermEqualSelector("reason", reasonFailedHook), Transform: cache.TransformStripManagedFields()},
		},
	})
	if err != nil {
		return fmt.Errorf("setting up the cache of events: %w", err)
	}
	saw := func(e *corev1.Event) {
		at := e.LastTimestamp.Time
		if at.IsZero() {
			at = e.EventTime.Time
		}
		t.SawHookFail(e.InvolvedObject.UID, containerOf(e.InvolvedObject.FieldPath), at)
	}
	if _, err := handle(ctx, events, &corev1.Event{}, toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { on(obj, saw) },
		UpdateFunc: func(_, obj any) { on(obj, saw) },
	}); err != nil {
		return fmt.Errorf("watching events: %w", err)
	}
	if err := mgr.Add(events); err != nil {
		return fmt.Errorf("adding the cache of events: %w", err)
	}
	return nil
}

func handle(ctx context.Context, c cache.Cache, obj client.Object, handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	informer, err := c.GetInformer(ctx, obj, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	return informer.AddEventHandler(handler)
}

func on[T any](obj any, saw func(T)) {
	if typed, ok := obj.(T); ok {
		saw(typed)
	}
}

// onGone unwraps what an informer gives for an object whose deletion it missed.
func onGone[T any](obj any, saw func(object T, missed bool)) {
	if unknown, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		on(unknown.Obj, func(typed T) { saw(typed, true) })
		return
	}
	on(obj, func(typed T) { saw(typed, false) })
}
