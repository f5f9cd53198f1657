package controllers

import (
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/internal/registration"
)

// The kinds of webhook configurations. What is done with them is the same.
type (
	mutating   = kind[*admissionv1.MutatingWebhookConfiguration, *admissionac.MutatingWebhookConfigurationApplyConfiguration]
	validating = kind[*admissionv1.ValidatingWebhookConfiguration, *admissionac.ValidatingWebhookConfigurationApplyConfiguration]
)

// kind is a kind of configuration: O as it is read, A as it is applied.
type kind[O client.Object, A runtime.ApplyConfiguration] struct {
	foreign func(O) map[string][]metav1.LabelSelectorRequirement
	bundles func(O) [][]byte
	render  func(registration.Registration) A
	owned   func(existing O, manager string) (A, error)
	// idle says of one that does nothing that it need not be made; may be nil.
	idle func(A) bool
}

// restore applies the configuration of a name when it is not what it should be.
// existing is what it is read into.
func (k kind[O, A]) restore(ctx context.Context, r *WebhookReconciler, name string, existing O) (reconcile.Result, error) {
	if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, existing); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading the webhook configuration: %w", err)
	}
	registration, again, err := r.registration(ctx, k.bundles(existing))
	if err != nil {
		return reconcile.Result{}, err
	}
	result := reconcile.Result{}
	if !again.IsZero() {
		result.RequeueAfter = max(again.Sub(r.Clock.Now()), webhookPause)
	}
	registration.Foreign = k.foreign(existing)
	desired := k.render(registration)
	done, err := k.isDone(existing, desired)
	if err != nil || done {
		return result, err
	}
	if pause := webhookPause - r.Clock.Since(r.written[name]); pause > 0 {
		return reconcile.Result{RequeueAfter: pause}, nil
	}
	if err := r.Client.Apply(ctx, desired, client.FieldOwner(webhookManager), client.ForceOwnership); err != nil {
		return reconcile.Result{}, fmt.Errorf("applying the webhook configuration: %w", err)
	}
	r.written[name] = r.Clock.Now()
	logf.FromContext(ctx).Info("webhook registered", "namespaces", len(registration.Namespaces),
		"evictionNamespaces", len(registration.EvictionNamespaces), "gateNamespaces", len(registration.GateNamespaces))
	return result, nil
}

// isDone says that there is nothing to apply.
func (k kind[O, A]) isDone(existing O, desired A) (bool, error) {
	if existing.GetResourceVersion() == "" {
		return k.idle != nil && k.idle(desired), nil
	}
	applied, err := k.owned(existing, webhookManager)
	if err != nil {
		return false, fmt.Errorf("reading what the operator owns of the webhook configuration: %w", err)
	}
	return equality.Semantic.DeepEqual(applied, desired), nil
}
