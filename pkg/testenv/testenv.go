// Package testenv brings the operator's API and webhooks into a test suite that
// runs on an API server of its own, as controller-runtime's envtest starts it.
// With it a team's CI finds out whether its DrainPolicies are valid, and what
// would be injected into its pods:
//
//	env := &envtest.Environment{CRDs: testenv.CRDs()}
//	config, err := env.Start()
//	...
//	webhooks, err := testenv.Start(ctx, config, testenv.Options{})
//	...
//	preview, err := webhooks.Preview(ctx, "shop", deployment.Spec.Template)
//
// The webhooks are the operator's own code, served by the test's process on
// loopback. Two things differ from an operator in a cluster, both so that a
// test need not wait: policies are read from the API server for each request,
// not from a cache, so that a pod sees every policy that was created before it;
// and the webhooks are registered for all namespaces but those of the control
// plane, not for those only that have a policy. Nothing else of the operator
// runs: no controller writes a status, so no grace is learned.
//
// It works where the API server can connect to loopback addresses of the test's
// process. Clusters are not for this: an operator may be running there.
package testenv

import (
	"context"
	"errors"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/config/crd"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// AgentImage is what pods get as the agent's image unless Options say
// otherwise. Nobody serves it: nothing pulls an image in such a test.
const AgentImage = "drain-operator.invalid/drain-agent@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// CRDs are the CustomResourceDefinitions of the operator's API, for the field
// of this name in envtest.Environment. Each call returns new ones.
func CRDs() []*apiextensionsv1.CustomResourceDefinition {
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(crd.DrainPolicies, definition); err != nil {
		panic(fmt.Sprintf("the embedded CustomResourceDefinition: %v", err)) // a build that no test has seen
	}
	return []*apiextensionsv1.CustomResourceDefinition{definition}
}

// Options are how the operator would be run: its flags, as far as they change
// what is injected. The zero value is the operator's defaults in a cluster
// whose nodes can mount image volumes.
type Options struct {
	// AgentImage is --agent-image; AgentImage of this package when empty.
	AgentImage string
	// InitContainer is --agent-delivery=InitContainer: the agent comes by an
	// init container and an emptyDir, as in clusters whose nodes cannot mount
	// image volumes.
	InitContainer bool
	// AllowEmptyDir is --avoid-emptydir=false. It matters with InitContainer only.
	AllowEmptyDir bool
	// OperatorNamespace is --namespace, whose pods are left alone;
	// drain-operator-system when empty.
	OperatorNamespace string
	// ExcludedNamespaces is --excluded-namespaces.
	ExcludedNamespaces []string
}

// Webhooks that are served and registered. Stop them before the API server.
type Webhooks struct {
	client  client.Client
	options plan.Options
	server  *server
}

// Start serves the operator's webhooks from this process, registers them with
// the API server, and returns once that calls them. It is an error when
// they are registered there already, by another Start or by an operator. Of a
// suite that runs as several processes on one API server, one starts them. The
// context is for starting only: they are served until Stop is called.
//
// While they are served, a pod that they cannot be asked about is not created:
// in a test a pod that was not injected for such a reason would mislead. The
// operator itself lets such pods pass.
func Start(ctx context.Context, config *rest.Config, o Options) (*Webhooks, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("knowing the types: %w", err)
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	w := &Webhooks{client: c, options: o.plan()}
	if w.server, err = serve(ctx, w.handlers()); err != nil {
		return nil, err
	}
	if err := w.register(ctx); err != nil {
		return nil, errors.Join(err, w.server.stop())
	}
	if err := w.untilCalled(ctx); err != nil {
		return nil, errors.Join(err, w.Stop())
	}
	return w, nil
}
