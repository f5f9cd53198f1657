package main

import (
	"context"

	"github.com/drain-operator/drain-operator/test/balancer"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/guarantees/runner"
	"github.com/drain-operator/drain-operator/test/servers"
)

// thoroughServers are run behind every balancer by default: of each kind one.
var thoroughServers = []string{"go", "gunicorn-gthread", "uvicorn", "nginx"}

// controlServer is run without a policy, too.
const controlServer = "go"

func serverNames() []string {
	var names []string
	for _, s := range servers.All() {
		names = append(names, s.Name)
	}
	return names
}

func balancerNames() []string { return texts(balancer.Kinds()) }

// plainWhenBare are servers that are another program when they are bare, one
// without long-lived connections.
var plainWhenBare = map[string]bool{"go": true}

// workload makes the objects of a server of the catalog.
func workload(image string) func(string, guarantees.Variant, string, int32) (runner.Workload, error) {
	return func(name string, variant guarantees.Variant, namespace string, replicas int32) (w runner.Workload, err error) {
		s, err := servers.ByName(name)
		if err != nil {
			return w, err
		}
		w.App, w.WebSocket, w.EventStream = s.Name, s.WebSocket, s.EventStream
		if variant != guarantees.Covered {
			s = s.Bare()
			w.WebSocket, w.EventStream = w.WebSocket && !plainWhenBare[name], w.EventStream && !plainWhenBare[name]
		}
		w.Objects = s.Objects(namespace, image, replicas)
		if variant != guarantees.None {
			w.Policy, err = s.Policy(namespace)
		}
		return w, err
	}
}

// front puts balancers in front, from an image that has them.
func front(env *framework.Env, image string) func(context.Context, string, string, string) (string, error) {
	return func(ctx context.Context, namespace, app, kind string) (string, error) {
		return balancer.Start(ctx, env.Config, namespace, app, image, balancer.Kind(kind))
	}
}
