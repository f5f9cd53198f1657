// Command drain-operator runs the operator: the injection webhook in every
// replica, the controllers in one of them. `drain-operator check` asks a running
// one whether it answers, `drain-operator release` makes it let go of all pods.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/controllers"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/internal/store"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/webhook/evict"
	"github.com/drain-operator/drain-operator/internal/webhook/inject"
)

// Names that the manifests and RBAC know, too.
const (
	webhookService = "drain-operator-webhook"
	certSecret     = "drain-operator-webhook-cert"
	leaseName      = store.LeaderLease
)

func main() {
	if err := start(os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "drain-operator:", err)
		os.Exit(1)
	}
}

func start(args []string) error {
	if len(args) > 0 && args[0] == "check" {
		return check(ctrl.SetupSignalHandler(), args[1:], os.Stdout)
	}
	if len(args) > 0 && args[0] == "release" {
		return release(ctrl.SetupSignalHandler(), args[1:], os.Stdout)
	}
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&o.logging)))
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	return run(ctrl.SetupSignalHandler(), config, o)
}

// run runs the operator until it is told to end, and for a little longer.
func run(told context.Context, config *rest.Config, o options) error {
	ctx := later(told, partingTime)
	serving := &certs.Serving{}
	scheme := newScheme()
	mgr, err := newManager(told, config, scheme, serving, o)
	if err != nil {
		return err
	}
	if o.certSource == certSourceSecret {
		serving.Foreign = foreign(mgr, o)
	}
	policies := store.New(mgr.GetCache(), func(namespace string) bool { return isExcluded(namespace, o.planOptions()) })
	leases, err := store.FollowLeases(ctx, mgr.GetCache(), o.namespace, clock.RealClock{})
	if err != nil {
		return err
	}
	options, err := currentOptions(ctx, mgr, policies, leases, o)
	if err != nil {
		return err
	}
	filed, err := store.FilePolicies(ctx, mgr.GetCache())
	if err != nil {
		return err
	}
	facts := memory{policies, filed, leases}
	held, err := addGate(ctx, mgr, facts)
	if err != nil {
		return err
	}
	defer held.flush()
	for _, add := range []func() error{
		func() error { return errors.Join(serving.Follow(ctx, mgr.GetCache()), mgr.Add(serving)) },
		func() error { return telemetry.RegisterCertificate(metrics.Registry, serving.Validity) },
		func() error { return store.FollowNamespaces(ctx, mgr.GetCache()) },
		func() error { return addWebhook(mgr, facts, options) },
		func() error { return addRegistration(mgr, policies, serving, o) },
		func() error { return addRotator(mgr, o) },
		func() error { return addControllers(ctx, mgr, options, facts, held, o) },
		func() error { return addReadiness(mgr, held) },
		func() error { return addHealth(told, mgr, serving) },
	} {
		if err := add(); err != nil {
			return err
		}
	}
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

func newScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}

// currentOptions returns a function that says what every plan is made with
// now: the delivery follows the nodes, unless it was chosen by hand, and pods
// get readiness gates while there is a leader that stays.
func currentOptions(ctx context.Context, mgr ctrl.Manager, policies *store.Store, leases *store.Leases, o options) (func() plan.Options, error) {
	if !o.leaderElect {
		leases.AssumeAlive()
	}
	current := func() plan.Options {
		options := o.planOptions()
		options.ReadinessGates = leases.Alive() && !leases.Releasing()
		return options
	}
	if o.agentDelivery != deliveryAuto {
		return current, nil
	}
	delivery, err := store.FollowNodes(ctx, mgr.GetCache(), policies)
	if err != nil {
		return nil, err
	}
	return func() plan.Options {
		options := current()
		options.Delivery = delivery.Current(ctx)
		return options
	}, nil
}

// isExcluded reports whether all pods of a namespace are left alone, because
// one of which nothing else is known is.
func isExcluded(namespace string, options plan.Options) bool {
	_, excluded := plan.Exclude(&corev1.Pod{}, namespace, options)
	return excluded
}

func addWebhook(mgr ctrl.Manager, facts memory, options func() plan.Options) error {
	recorder, err := telemetry.NewInjections(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	handler := inject.NewHandler(facts.For, options, recorder)
	mgr.GetWebhookServer().Register(registration.InjectPath, handler)
	evictions, err := telemetry.NewEvictions(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	mgr.GetWebhookServer().Register(registration.EvictPath, &admission.Webhook{
		Handler: &evict.Handler{Pods: facts.Pod, Policies: facts.Of, Recorder: evictions},
	})
	return nil
}

func addRegistration(mgr ctrl.Manager, policies *store.Store, serving *certs.Serving, o options) error {
	reconciler := &controllers.WebhookReconciler{
		Client:             mgr.GetClient(),
		Uncached:           mgr.GetAPIReader(),
		Namespaces:         policies.Namespaces,
		EvictionNamespaces: policies.EvictionNamespaces,
		GateNamespaces:     policies.GateNamespaces,
		Target: registration.Target{
			Service: types.NamespacedName{Namespace: o.namespace, Name: webhookService},
			URL:     o.webhookURL,
		},
		Secret: types.NamespacedName{Namespace: o.namespace, Name: certSecret},
		Owner:  o.owner,
		Clock:  clock.RealClock{},
	}
	if serving.Foreign != nil {
		reconciler.Bundle = serving.Foreign.Bundle
	}
	return reconciler.SetupWithManager(mgr)
}

// addRotator has the operator make its certificate, unless somebody else does.
func addRotator(mgr ctrl.Manager, o options) error {
	if o.certSource == certSourceSecret {
		return nil
	}
	rotator := &certs.Rotator{
		Client:    mgr.GetClient(),
		Clock:     clock.RealClock{},
		Secret:    types.NamespacedName{Namespace: o.namespace, Name: certSecret},
		Terms:     certs.Terms{Hosts: o.hosts(), Validity: o.certValidity, Overlap: o.certOverlap},
		Published: published(mgr.GetClient()),
	}
	return rotator.SetupWithManager(mgr)
}

// foreign is for certificates that somebody else makes.
func foreign(mgr ctrl.Manager, o options) *certs.Foreign {
	return &certs.Foreign{
		Hosts:     o.calledHosts(),
		Overlap:   o.certOverlap,
		Published: published(mgr.GetClient()),
		Clock:     clock.RealClock{},
	}
}

// published returns the CA bundles of all webhooks that are registered.
func published(reader client.Reader) func(context.Context) ([][]byte, error) {
	return func(ctx context.Context) ([][]byte, error) {
		injection, gate := &admissionv1.MutatingWebhookConfiguration{}, &admissionv1.ValidatingWebhookConfiguration{}
		for name, into := range map[string]client.Object{registration.ConfigurationName: injection, registration.GateName: gate} {
			if err := reader.Get(ctx, types.NamespacedName{Name: name}, into); client.IgnoreNotFound(err) != nil {
				return nil, err
			}
		}
		return append(registration.PublishedBundles(injection), registration.PublishedGateBundles(gate)...), nil
	}
}

func addControllers(ctx context.Context, mgr ctrl.Manager, options func() plan.Options, facts memory, h holding, o options) error {
	drains, err := telemetry.NewDrains(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	graces, err := telemetry.NewGraces(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	sources, err := o.sources()
	if err != nil {
		return err
	}
	ceilings, err := o.ceilings()
	if err != nil {
		return err
	}
	hold, err := holdOptions(facts, h)
	if err != nil {
		return err
	}
	return controllers.Setup(ctx, mgr, controllers.Options{
		Plan:       options,
		Metrics:    drains,
		Graces:     graces,
		Clock:      clock.RealClock{},
		Observer:   observe.New(sources, observe.Limits{}).For,
		LookPeriod: o.latencyPeriod,
		Ceilings:   ceilings,
		Hold:       hold,
	})
}
