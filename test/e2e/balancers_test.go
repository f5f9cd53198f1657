package e2e

import (
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/balancer"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
)

// fixedSleep is what a person would write who knows the slowest of the load
// balancers: the 20 s that it takes, and some.
const fixedSleep = balancer.SlowDelay + 5*time.Second

// Which of the load balancers is in front, the policy does not know: there is
// one for all, and it finds the moment by itself.
var _ = Describe("Behind", func() {
	const most = 30 // seconds

	DescribeTable("a load balancer, a rolling update, an eviction and a scale-down drop nothing, and pods are not held for much longer than it takes",
		func(ctx SpecContext, kind balancer.Kind, notified bool, mix func(string, float64) load.Config, rate float64) {
			ns := env.NewNamespace(ctx, nil)
			policy := framework.Policy("web").Propagation(2, most)
			if notified {
				policy.HTTP(v1alpha1.DrainedWhenBody).Notify()
			} else {
				policy.TCP(2)
			}
			ns.Apply(ctx, policy)
			ns.Deploy(ctx, framework.Pod("web").Balanced().Status("ok").Deployment(3))
			traffic := ns.StartLoad(ctx, mix(ns.Balance(ctx, "web", kind), rate))
			traffic.AwaitRequests(ctx, 100)
			drains := ns.WatchDrains(ctx, "web")

			ns.Restart(ctx, "web")
			traffic.AwaitMore(ctx, 100) // each of the new pods has some
			ns.Scale(ctx, "web", 2)
			drains.AwaitDraining(ctx, 4)
			ns.Evict(ctx, ns.Pods(ctx, "web")[0].Name, nil)

			ended := drains.AwaitEnds(ctx, 5)
			framework.ExpectNothingDropped(traffic.Finish(ctx), 300)
			turns := framework.Turns(ended)
			AddReportEntry(string(kind), framework.Saved(turns, fixedSleep))
			over := make([]time.Duration, len(ended)) // what each was held longer than needed
			for i, d := range ended {
				d.App().ExpectDrained()
				needed := max(2*time.Second, turns[i].LastRequest+2*time.Second, turns[i].LastResponse)
				over[i] = turns[i].Sigterm - needed
				Expect(over[i]).To(BeNumerically(">", -time.Second), "%+v", turns[i])
				if kind == balancer.Slow {
					Expect(turns[i].LastRequest).To(BeNumerically(">", balancer.SlowDelay-3*time.Second), "it is not slow: %+v", turns[i])
				}
			}
			// A silence that a busy machine makes longer or shorter is another
			// moment for one pod; the rule is wrong where it is so for most.
			slices.Sort(over)
			Expect(over[len(over)/2]).To(BeNumerically("<", busyMachine), "%v", over)
		},
		// kube-proxy leaves connections that exist to the pod: it has to end them.
		Entry("ClusterIP", balancer.ClusterIP, true, framework.Steady, 20., usual),
		Entry("NodePort", balancer.NodePort, true, framework.Steady, 20., usual),
		// nginx closes idle connections of clients whenever it is reloaded.
		Entry("nginx", balancer.Nginx, false, framework.FreshMix, 30., usual),
		Entry("HAProxy", balancer.HAProxy, false, framework.Steady, 20., usual),
		Entry("one that takes 20 s", balancer.Slow, false, framework.Steady, 20., usual),
	)

	It("a load balancer that takes 20 s, a pod that hardly gets requests loses none", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(2, most).TCP(2))
		ns.Deploy(ctx, framework.Pod("web").Balanced().Deployment(2))
		traffic := ns.StartRareLoad(ctx, rare(ns.Balance(ctx, "web", balancer.Slow), 3*time.Second))
		traffic.AwaitRequests(ctx, 2)
		drains := ns.WatchDrains(ctx, "web")

		ns.Evict(ctx, ns.Pods(ctx, "web")[0].Name, nil)

		end := drains.AwaitEnd(ctx)
		framework.ExpectNothingDropped(traffic.Finish(ctx), 5)
		AddReportEntry("rare requests", framework.Saved([]framework.Turn{end.Turn()}, most*time.Second))
		end.App().ExpectDrained()
		Expect(end.App().Held).To(BeNumerically(">", balancer.SlowDelay))
	}, usual)
})

// rare is one request in so long, on two connections that last.
func rare(target string, every time.Duration) load.Config {
	return load.Config{
		Target: target, KeepAlivePerSecond: 1 / every.Seconds(), KeepAliveConns: 2, PostPercent: 50, Seed: 7,
		Work: framework.Exactly(50 * time.Millisecond),
	}
}
