package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
)

var _ = Describe("Under load", func() {
	It("rolls out and drops nothing, told by the workload's drain status", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
		ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(3))
		rollsOut(ctx, ns, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
	}, usual)

	It("rolls out and drops nothing on fresh connections, told by the pod's sockets", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").TCP(2))
		ns.Deploy(ctx, framework.Pod("web").Deployment(3))
		rollsOut(ctx, ns, framework.FreshMix(ns.Service(ctx, "web", framework.WorkPort), 20))
	}, usual)

	It("scales down and drops nothing, told by a status code", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenStatusCode))
		ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(3))
		traffic := ns.StartLoad(ctx, framework.FreshMix(ns.Service(ctx, "web", framework.WorkPort), 20))
		traffic.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")

		ns.Scale(ctx, "web", 1)

		for _, d := range drains.AwaitEnds(ctx, 2) {
			d.App().ExpectDrained()
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 100)
	}, usual)

	It("cuts requests without a policy", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Deploy(ctx, framework.Pod("web").Deployment(3))
		traffic := ns.StartLoad(ctx, framework.FreshMix(ns.Service(ctx, "web", framework.WorkPort), 40))
		traffic.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")

		ns.Restart(ctx, "web")

		drains.AwaitEnds(ctx, 3)
		Expect(traffic.Finish(ctx).Tally().Failed()).NotTo(BeZero(), "the load would not notice a cut request")
	}, usual)
})

// rollsOut restarts the three replicas of "web" under load and expects that
// nothing is dropped, each pod says so, and the policy's status counts it: all of
// it where a person looks for it, and none of it in the operator's log.
func rollsOut(ctx SpecContext, ns *framework.Namespace, cfg load.Config) {
	GinkgoHelper()
	began := time.Now()
	traffic := ns.StartLoad(ctx, cfg)
	traffic.AwaitRequests(ctx, 50)
	drains := ns.WatchDrains(ctx, "web")

	ns.Restart(ctx, "web")

	for _, d := range drains.AwaitEnds(ctx, 3) {
		d.App().ExpectDrained()
	}
	framework.ExpectNothingDropped(traffic.Finish(ctx), 200)
	ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
		g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{Drained: 3}))
		g.Expect([]int32{p.Status.Pods, p.Status.Injected, p.Status.Draining}).To(Equal([]int32{3, 3, 0}))
	})
	Expect(ns.OperatorLines(ctx, began)).To(BeEmpty())
}
