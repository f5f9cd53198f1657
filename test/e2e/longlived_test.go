package e2e

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
)

// Clients of the journeys below; make bench BENCH=sessions has ten times as many.
const (
	webSockets   = 200
	eventStreams = 50
	streamPods   = 4
)

var _ = Describe("Long-lived connections", func() {
	It("are all told to go by a rolling update, come back, and lose no message", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		clients := connectStreams(ctx, ns)
		drains := ns.WatchDrains(ctx, "web")

		ns.Restart(ctx, "web")

		expectStreamsTold(ctx, clients, drains)
	}, usual)

	It("of gRPC whose clients never pause are told to go by a rolling update, and no RPC fails", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
		ns.Deploy(ctx, framework.Pod("web").GRPC().Deployment(3))
		calls := ns.StartLoad(ctx, load.Config{
			Target: ns.Service(ctx, "web", framework.WorkPort), RPCConns: 4, Work: framework.Exactly(20 * time.Millisecond),
		})
		calls.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")

		ns.Restart(ctx, "web")

		for _, d := range drains.AwaitEnds(ctx, 3) {
			d.App().ExpectOutcome(hold.OutcomeDrained)
		}
		framework.ExpectNothingDropped(calls.Finish(ctx), 500)
	}, usual)
})

// connectStreams runs pods with long-lived connections, and returns when all
// clients are connected.
func connectStreams(ctx context.Context, ns *framework.Namespace) *framework.Load {
	GinkgoHelper()
	ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify().LongLived(v1alpha1.LongLivedCloseAfter, 5))
	ns.Deploy(ctx, framework.Pod("web").Streams().Deployment(streamPods))
	clients := ns.StartLoad(ctx, load.Config{
		Target: ns.Service(ctx, "web", framework.WorkPort), WebSockets: webSockets, EventStreams: eventStreams, MessageEveryMillis: 500,
	})
	clients.AwaitOpen(ctx, webSockets+eventStreams)
	return clients
}

// expectStreamsTold waits for the end of the old pods and holds what clients
// saw to the promise. What a pod was held for is over when its notice is.
func expectStreamsTold(ctx context.Context, clients *framework.Load, drains *framework.Drains) {
	GinkgoHelper()
	for _, d := range drains.AwaitEnds(ctx, streamPods) {
		d.App().ExpectOutcome(hold.OutcomeDrained)
	}
	clients.AwaitOpen(ctx, webSockets+eventStreams)
	seen := clients.Finish(ctx)
	framework.ExpectAllTold(seen, load.WebSocket, webSockets)
	framework.ExpectAllTold(seen, load.EventStream, eventStreams)
	rate := seen.Reconnects(load.WebSocket, time.Second)
	Expect(rate).To(HaveEach(BeNumerically("<", webSockets/2)), "clients that came back in each second")
}
