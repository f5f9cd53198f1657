package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/registration"
)

// The API server cannot restrict a create by name; every other verb is.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations,resourceNames=drain-operator-inject,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=drain-operator-gate,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=drain-operator,verbs=get
// +kubebuilder:rbac:groups=drain-operator.dev,resources=drainpolicies,verbs=get;list;watch

const (
	// webhookManager is the field manager of the webhook configurations.
	webhookManager = "drain-operator"

	// webhookPause is the least time between two writes of one configuration: a
	// hundred policies that come at once make two writes, and the first one none
	// wait.
	webhookPause = time.Second
)

// WebhookReconciler registers the injection webhook for exactly those
// namespaces that have a DrainPolicy, the eviction webhook for those in which
// one gives a measured grace, and the gate for those in which one holds
// deletions, with the current CA bundle, and restores them when somebody
// again or deletes them.
type WebhookReconciler struct {
	Client client.Client
	// Uncached reads what is not worth a watch.
	Uncached client.Reader
	// Namespaces returns the namespaces that have a policy and are not excluded.
	Namespaces func(context.Context) ([]string, error)
	// EvictionNamespaces returns those of them in which a policy wants to be
	// asked about evictions.
	EvictionNamespaces func(context.Context) ([]string, error)
	// GateNamespaces returns those of them in which a policy holds deletions.
	GateNamespaces func(context.Context) ([]string, error)
	// Target is where the API server finds the webhook server.
	Target registration.Target
	// Secret holds the CA bundle.
	Secret types.NamespacedName
	// Bundle is what to publish when somebody else writes that Secret: from its
	// data and what is published, the bundle and when to ask again, zero if not.
	// Nil when the Secret's own bundle is to be published.
	Bundle func(data map[string][]byte, published [][]byte) (bundle []byte, again time.Time)
	// Owner is the ClusterRole whose deletion takes the configurations with
	// it. Without it nothing is registered: an uninstall is under way. Empty
	// when the operator runs outside a cluster, and nothing cleans up.
	Owner string
	Clock clock.PassiveClock

	// written is when each configuration was written last, by name.
	written map[string]time.Time
}

// SetupWithManager adds the reconciler to the manager. There are two objects to
// reconcile: whatever happens is mapped to them.
func (r *WebhookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.written = map[string]time.Time{}
	toConfigurations := handler.EnqueueRequestsFromMapFunc(func(context.Context, client.Object) []reconcile.Request {
		return []reconcile.Request{
			{NamespacedName: types.NamespacedName{Name: registration.ConfigurationName}},
			{NamespacedName: types.NamespacedName{Name: registration.GateName}},
		}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("webhook").
		For(&admissionv1.MutatingWebhookConfiguration{}).
		Watches(&admissionv1.ValidatingWebhookConfiguration{}, &handler.EnqueueRequestForObject{}).
		Watches(&v1alpha1.DrainPolicy{}, toConfigurations, builder.WithPredicates(changesNamespaces())).
		Watches(&corev1.Secret{}, toConfigurations).
		Complete(r)
}

// changesNamespaces lets only those edits of policies through that change which
// namespaces a webhook is registered for.
func changesNamespaces() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*v1alpha1.DrainPolicy)
		after, okAfter := e.ObjectNew.(*v1alpha1.DrainPolicy)
		return okBefore && okAfter && (registration.WantsEvictions(before) != registration.WantsEvictions(after) ||
			drain.Holds(before) != drain.Holds(after))
	}}
}

// Reconcile applies a configuration when it is not what it should be.
func (r *WebhookReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	switch req.Name {
	case registration.ConfigurationName:
		return mutating{
			foreign: registration.ForeignRequirements,
			bundles: registration.PublishedBundles,
			render:  registration.Registration.Configuration,
			owned:   admissionac.ExtractMutatingWebhookConfiguration,
		}.restore(ctx, r, req.Name, &admissionv1.MutatingWebhookConfiguration{})
	case registration.GateName:
		return validating{
			foreign: registration.ForeignGateRequirements,
			bundles: registration.PublishedGateBundles,
			render:  registration.Registration.Gate,
			owned:   admissionac.ExtractValidatingWebhookConfiguration,
			idle: func(c *admissionac.ValidatingWebhookConfigurationApplyConfiguration) bool {
				return len(c.Webhooks) == 0
			},
		}.restore(ctx, r, req.Name, &admissionv1.ValidatingWebhookConfiguration{})
	}
	return reconcile.Result{}, nil
}

// registration gathers what the configurations depend on. published are the
// bundles of the one that is to be restored. It is to be looked at again at a
// time that is not zero.
func (r *WebhookReconciler) registration(ctx context.Context, published [][]byte) (all registration.Registration, again time.Time, err error) {
	all.Target = r.Target
	for _, list := range []struct {
		into *[]string
		of   func(context.Context) ([]string, error)
	}{{&all.Namespaces, r.Namespaces}, {&all.EvictionNamespaces, r.EvictionNamespaces}, {&all.GateNamespaces, r.GateNamespaces}} {
		if *list.into, err = list.of(ctx); err != nil {
			return all, again, fmt.Errorf("listing the namespaces of webhooks: %w", err)
		}
	}
	if all.Bundle, again, err = r.bundle(ctx, published); err != nil {
		return all, again, err
	}
	all.Owner, err = r.owner(ctx)
	return all, again, err
}

// bundle is what API servers are to trust. Where nothing is known, that is what
// they trust already.
func (r *WebhookReconciler) bundle(ctx context.Context, published [][]byte) (bundle []byte, again time.Time, err error) {
	secret := &corev1.Secret{}
	if err := r.Client.Get(ctx, r.Secret, secret); client.IgnoreNotFound(err) != nil {
		return nil, again, fmt.Errorf("reading the CA bundle: %w", err)
	}
	if r.Bundle == nil {
		return slices.Clone(secret.Data[certs.KeyBundle]), again, nil
	}
	bundle, again = r.Bundle(secret.Data, published)
	if len(bundle) == 0 && len(published) > 0 {
		bundle = published[0]
	}
	return bundle, again, nil
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
