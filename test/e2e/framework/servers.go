package framework

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/test/servers"
)

// ServersImage has the servers of test/servers.
func ServersImage() string { return imageOf("drain-servers") }

// RunServer creates a server of the catalog with its policy and as many pods,
// and waits until all are ready. It returns the address of their work.
func (n *Namespace) RunServer(ctx context.Context, s servers.Server, replicas int32) string {
	GinkgoHelper()
	policy, err := s.Policy(n.Name)
	Expect(err).NotTo(HaveOccurred())
	n.Create(ctx, policy)
	n.AwaitInjection(ctx, Pod(s.Name), true)
	n.Create(ctx, s.Objects(n.Name, ServersImage(), replicas)...)
	n.AwaitRollout(ctx, s.Name)
	return n.Service(ctx, s.Name, servers.Port)
}
