// Package servers is the catalog of servers that people run, each with a small
// application, as pods of the test image drain-servers. Their policies are those
// of config/samples/servers: what is tested is what is copied.
package servers

import (
	"fmt"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/config/samples"
)

// Server is one that people run, as the test image has it.
type Server struct {
	// Name is that of its Deployment, of the label app of its pods, and of its
	// policy.
	Name string
	// WebSocket says whether its application serves /ws, an echo.
	WebSocket bool
	// EventStream says whether it serves /events, to many clients at a time.
	EventStream bool
	// KeepAlive says whether it keeps connections between requests.
	KeepAlive bool

	// command of the container that serves, and bareCommand that of the bare
	// server, where it is another one.
	command, bareCommand []string
	// files in /app, by their names; the values say where they come from.
	files map[string]string
	// proxy says that it stands before an application in the same pod.
	proxy bool
	// hook is the preStop hook that its owner gives it.
	hook []string
	// bare says that it is without notification and middleware.
	bare bool
}

// All are the servers of the catalog.
func All() []Server { return slices.Clone(catalog) }

// ByName is one of them.
func ByName(name string) (Server, error) {
	for _, s := range catalog {
		if s.Name == name {
			return s, nil
		}
	}
	return Server{}, fmt.Errorf("no server is called %q", name)
}

// Bare is the same server as somebody has it who changed nothing for the
// draining: no middleware, no notification, no hook.
func (s Server) Bare() Server {
	s.bare = true
	return s
}

// Policy is config/samples/servers/<name>.yaml in that namespace. That of a bare
// server reads from the connections what it owes.
func (s Server) Policy(namespace string) (*v1alpha1.DrainPolicy, error) {
	data, err := samples.Servers.ReadFile("servers/" + s.Name + ".yaml")
	if err != nil {
		return nil, err
	}
	policy := &v1alpha1.DrainPolicy{}
	if err := yaml.UnmarshalStrict(data, policy); err != nil {
		return nil, fmt.Errorf("policy of %s: %w", s.Name, err)
	}
	policy.Namespace = namespace
	if s.bare {
		policy.Spec = v1alpha1.DrainPolicySpec{
			Selector:    policy.Spec.Selector,
			DrainStatus: v1alpha1.DrainStatus{TCP: &v1alpha1.TCPDrainStatus{Ports: []int32{Port}}},
			PreStop:     v1alpha1.PreStop{PropagationMaxSeconds: bareHoldSeconds, MaxHoldSeconds: ptr(int32(bareHoldSeconds + 2))},
		}
	}
	return policy, nil
}

// bareHoldSeconds bounds the hold of a bare server, whose busy connections never
// become idle.
const bareHoldSeconds = 8

func ptr[T any](v T) *T { return &v }
