package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/servers"
)

// Servers that people run, with the policies that they can copy: docs/servers.md.
var _ = Describe("A server that people run", func() {
	for _, s := range servers.All() {
		It("is rolled out and cuts nothing: "+s.Name, func(ctx SpecContext) {
			ns := env.NewNamespace(ctx, nil)
			traffic := ns.StartLoad(ctx, neverPausing(ns.RunServer(ctx, s, 3)))
			traffic.AwaitRequests(ctx, 200)
			drains := ns.WatchDrains(ctx, s.Name)

			ns.Restart(ctx, s.Name)

			policy, err := s.Policy(ns.Name)
			Expect(err).NotTo(HaveOccurred())
			for _, d := range drains.AwaitEnds(ctx, 3) {
				end := d.Container(servers.Container)
				end.ExpectOutcome(hold.OutcomeDrained)
				Expect(end.Result.Stop).To(BeEquivalentTo(policy.Spec.PreStop.StopSignal), "%+v", *end.Result)
			}
			framework.ExpectNothingDropped(traffic.Finish(ctx), 500)
		}, slow)
	}

	It("is cut on busy connections where nobody tells it", func(ctx SpecContext) {
		s, err := servers.ByName("uvicorn")
		Expect(err).NotTo(HaveOccurred())
		ns := env.NewNamespace(ctx, nil)
		traffic := ns.StartLoad(ctx, neverPausing(ns.RunServer(ctx, s.Bare(), 2)))
		traffic.AwaitRequests(ctx, 100)
		drains := ns.WatchDrains(ctx, s.Name)

		ns.Restart(ctx, s.Name)

		drains.AwaitEnds(ctx, 2)
		results := traffic.Finish(ctx)
		Expect(results.Tally(load.OnPersistent).Failed()).NotTo(BeZero(), "the load would not notice a cut request")
		framework.ExpectNothingDropped(results, 100, load.OnFresh)
	}, usual)
})

// neverPausing is some 50 requests a second: on connections of their own, and
// one after the other on connections that are kept.
func neverPausing(target string) load.Config {
	return load.Config{
		Target: target, FreshPerSecond: 15, BusyConns: 4, PostPercent: 50, Seed: 7,
		Work: load.Work{MinMillis: 20, MedianMillis: 100, P99Millis: 500, MaxMillis: 1000},
	}
}
