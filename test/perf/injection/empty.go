package injection

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf/emptyhook"
)

// startEmpty starts the empty webhook and the one that adds a label. They are
// registered exactly as ours is.
func startEmpty(ctx context.Context, env *framework.Environment, namespace, labelNamespace string) (stop func() error, err error) {
	stopEmpty, err := startAt(ctx, env, "", namespace)
	if err != nil {
		return nil, err
	}
	stopLabel, err := startAt(ctx, env, emptyhook.LabelPath, labelNamespace)
	if err != nil {
		return nil, errors.Join(err, stopEmpty())
	}
	return func() error { return errors.Join(stopEmpty(), stopLabel()) }, nil
}

// startAt starts a process and registers a path of it for a namespace.
func startAt(ctx context.Context, env *framework.Environment, path, namespace string) (stop func() error, err error) {
	url, bundle, stop, err := emptyhook.Start()
	if err != nil {
		return nil, err
	}
	config := registration.Registration{
		Target: registration.Target{URL: url + path}, Bundle: bundle, Namespaces: []string{namespace},
	}.Configuration().WithName("bench-" + namespace)
	config.Webhooks[0].WithName(namespace + ".bench.drain-operator.dev")
	if err := env.Client.Apply(ctx, config, client.FieldOwner("bench")); err != nil {
		return nil, errors.Join(fmt.Errorf("registering the empty webhook: %w", err), stop())
	}
	return stop, nil
}
