package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/internal/store"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=drain-operator-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=drain-operator-system,resources=leases,resourceNames=drain-operator,verbs=get;update
// +kubebuilder:rbac:groups=events.k8s.io,namespace=drain-operator-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups="",namespace=drain-operator-system,resources=events,verbs=create;patch

func newManager(told context.Context, config *rest.Config, scheme *runtime.Scheme, serving *certs.Serving, o options) (manager.Manager, error) {
	ceilings, err := o.ceilings()
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                 scheme,
		Cache:                  cacheOptions(o.namespace, ceilings),
		HealthProbeBindAddress: o.healthAddress,
		PprofBindAddress:       o.pprofAddress,
		Metrics: metricsserver.Options{
			BindAddress:    o.metricsAddress,
			SecureServing:  true,
			FilterProvider: filters.WithAuthenticationAndAuthorization,
		},
		WebhookServer: partingServer{told: told, Server: ctrlwebhook.NewServer(ctrlwebhook.Options{
			Host:    o.listenHost(),
			Port:    o.webhookPort,
			TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.GetCertificate = serving.GetCertificate }},
		})},
		LeaderElection:          o.leaderElect,
		LeaderElectionID:        leaseName,
		LeaderElectionNamespace: o.namespace,
		// main ends the process as soon as the manager has stopped.
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	return mgr, nil
}

// cacheOptions keep little: of Secrets and webhook configurations only ours,
// of pods and nodes only what is read.
func cacheOptions(namespace string, ceilings condition.Ceilings) cache.Options {
	return cache.Options{
		DefaultTransform: store.Trim,
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:           {Transform: store.PodTrim()},
			&corev1.Node{}:          {Transform: store.TrimNode(ceilings)},
			&corev1.Namespace{}:     {Transform: store.TrimNamespace},
			&coordinationv1.Lease{}: {Namespaces: map[string]cache.Config{namespace: {}}},
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{
				namespace: {FieldSelector: byName(certSecret)},
			}},
			&admissionv1.MutatingWebhookConfiguration{}: {
				Field: byName(registration.ConfigurationName),
				// Whole: what we own of it is read from its managed fields.
				Transform: func(obj any) (any, error) { return obj, nil },
			},
			&admissionv1.ValidatingWebhookConfiguration{}: {
				Field:     byName(registration.GateName),
				Transform: func(obj any) (any, error) { return obj, nil },
			},
		},
	}
}

func byName(name string) fields.Selector {
	return fields.OneTermEqualSelector(metav1.ObjectNameField, name)
}

// addHealth makes the operator ready when it can answer: the cache is synced,
// a certificate is loaded, and the webhook server takes connections. It is not
// any more from when it is told to end.
func addHealth(told context.Context, mgr manager.Manager, serving *certs.Serving) error {
	if _, err := mgr.GetCache().GetInformer(told, &v1alpha1.DrainPolicy{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching policies: %w", err)
	}
	synced := &cacheSynced{}
	return errors.Join(
		mgr.Add(synced),
		mgr.AddHealthzCheck("ping", healthz.Ping),
		mgr.AddReadyzCheck("cache", synced.check),
		mgr.AddReadyzCheck("certificate", serving.Check),
		mgr.AddReadyzCheck("webhook", mgr.GetWebhookServer().StartedChecker()),
		mgr.AddReadyzCheck("not-stopping", func(*http.Request) error { return context.Cause(told) }),
	)
}

// cacheSynced is started by the manager once the cache is synced.
type cacheSynced struct{ done atomic.Bool }

// Start implements manager.Runnable.
func (c *cacheSynced) Start(context.Context) error {
	c.done.Store(true)
	return nil
}

// NeedLeaderElection is false: every replica answers.
func (c *cacheSynced) NeedLeaderElection() bool { return false }

func (c *cacheSynced) check(*http.Request) error {
	if !c.done.Load() {
		return errors.New("the cache is not synced yet")
	}
	return nil
}
