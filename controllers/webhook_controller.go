package controllers

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/registration"
)

// The API server cannot restrict a create by name; every other verb is.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=drain-operator-inject,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=drain-operator,verbs=get
// +kubebuilder:rbac:groups=drain-operator.dev,resources=drainpolicies,verbs=get;list;watch

// webhookManager is the field manager of the webhook configuration.
const webhookManager = "drain-operator"

// WebhookReconciler registers the injection webhook for exactly those
// namespaces that have a DrainPolicy, and the eviction webhook for those in
// which one gives a measured grace, with the current CA bundle, and restores
// them when somebody changes or deletes them.
type WebhookReconciler struct {
	Client client.Client
	// Uncached reads what is not worth a watch.
	Uncached client.Reader
	// Namespaces returns the namespaces that have a policy and are not excluded.
	Namespaces func(context.Context) ([]string, error)
	// EvictionNamespaces returns those of them in which a policy wants to be
	// asked about evictions.
	EvictionNamespaces func(context.Context) ([]string, error)
	// Target is where the API server finds the webhook server.
	Target registration.Target
	// Secret holds the CA bundle.
	Secret types.NamespacedName
	// Owner is the ClusterRole whose deletion takes the configuration with
	// it. Without it nothing is registered: an uninstall is under way. Empty
	// when the operator runs outside a cluster, and nothing cleans up.
	Owner string
}

// SetupWithManager adds the reconciler to the manager. There is one object to
// reconcile: whatever happens is mapped to it.
func (r *WebhookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	toConfiguration := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: registration.ConfigurationName}}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("webhook").
		For(&admissionv1.MutatingWebhookConfiguration{}).
		Watches(&v1alpha1.DrainPolicy{}, toConfiguration, builder.WithPredicates(changesNamespaces())).
		Watches(&corev1.Secret{}, toConfiguration).
		Complete(r)
}

// changesNamespaces lets only those edits of policies through that change which
// namespaces a webhook is registered for.
func changesNamespaces() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*v1alpha1.DrainPolicy)
		after, okAfter := e.ObjectNew.(*v1alpha1.DrainPolicy)
		return okBefore && okAfter && registration.WantsEvictions(before) != registration.WantsEvictions(after)
	}}
}

// Reconcile applies the configuration when it is not what it should be.
func (r *WebhookReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	existing := &admissionv1.MutatingWebhookConfiguration{}
	if err := r.Client.Get(ctx, types.NamespacedName{Name: registration.ConfigurationName}, existing); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, fmt.Errorf("reading the webhook configuration: %w", err)
	}
	registration, err := r.registration(ctx, existing)
	if err != nil {
		return reconcile.Result{}, err
	}
	desired := registration.Configuration()
	applied, err := admissionac.ExtractMutatingWebhookConfiguration(existing, webhookManager)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading what the operator owns of the webhook configuration: %w", err)
	}
	if existing.UID != "" && equality.Semantic.DeepEqual(applied, desired) {
		return reconcile.Result{}, nil
	}
	if err := r.Client.Apply(ctx, desired, client.FieldOwner(webhookManager), client.ForceOwnership); err != nil {
		return reconcile.Result{}, fmt.Errorf("applying the webhook configuration: %w", err)
	}
	logf.FromContext(ctx).Info("webhook registered", "namespaces", len(registration.Namespaces), "evictionNamespaces", len(registration.EvictionNamespaces))
	return reconcile.Result{}, nil
}

// registration gathers what the configuration depends on.
func (r *WebhookReconciler) registration(ctx context.Context, existing *admissionv1.MutatingWebhookConfiguration) (registration.Registration, error) {
	namespaces, err := r.Namespaces(ctx)
	if err != nil {
		return registration.Registration{}, fmt.Errorf("listing the namespaces that have a policy: %w", err)
	}
	evictions, err := r.EvictionNamespaces(ctx)
	if err != nil {
		return registration.Registration{}, fmt.Errorf("listing the namespaces whose evictions are asked about: %w", err)
	}
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, r.Secret, secret); client.IgnoreNotFound(err) != nil {
		return registration.Registration{}, fmt.Errorf("reading the CA bundle: %w", err)
	}
	owner, err := r.owner(ctx)
	if err != nil {
		return registration.Registration{}, err
	}
	return registration.Registration{
		Target:             r.Target,
		Bundle:             slices.Clone(secret.Data[certs.KeyBundle]),
		Namespaces:         namespaces,
		EvictionNamespaces: evictions,
		Owner:              owner,
		Foreign:            registration.ForeignRequirements(existing),
	}, nil
}

func (r *WebhookReconciler) owner(ctx context.Context) (*metaac.OwnerReferenceApplyConfiguration, error) {
	if r.Owner == "" {
		return nil, nil
	}
	role := &rbacv1.ClusterRole{}
	err := r.Uncached.Get(ctx, types.NamespacedName{Name: r.Owner}, role)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("no webhook is registered without its owner, the ClusterRole %s: it is gone, or --owner is wrong", r.Owner)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the webhook configuration's owner: %w", err)
	}
	return metaac.OwnerReference().
		WithAPIVersion(rbacv1.SchemeGroupVersion.String()).
		WithKind("ClusterRole").
		WithName(role.Name).
		WithUID(role.UID), nil
}
