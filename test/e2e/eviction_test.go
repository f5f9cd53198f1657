package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// The node is cordoned meanwhile: nothing else runs.
var _ = Describe("kubectl drain", alone, func() {
	It("evicts injected pods without further flags, and nothing is dropped", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenMetric).Notify())
		app := func(part string) *framework.PodBuilder {
			return framework.Pod(part).Label("app", "web").Label("part", part).Status("ok")
		}
		// On a single node the evicted pods have nowhere to go; the one that
		// stays takes their traffic.
		ns.Deploy(ctx, app("goes").Deployment(2))
		ns.Deploy(ctx, app("stays").Deployment(1))
		traffic := ns.StartLoad(ctx, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
		traffic.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")
		node := ns.Pods(ctx, "web")[0].Spec.NodeName
		DeferCleanup(func(ctx SpecContext) {
			out, err := env.Kubectl(ctx, "uncordon", node)
			Expect(err).NotTo(HaveOccurred(), out)
		})

		out, err := env.Kubectl(ctx, "drain", node, "--ignore-daemonsets", "--pod-selector=part=goes", "--timeout=90s")

		Expect(err).NotTo(HaveOccurred(), out)
		for _, d := range drains.AwaitEnds(ctx, 2) {
			d.App().ExpectDrained()
			Expect(d.Pod.Status.Conditions).To(ContainElement(HaveField("Reason", "EvictionByEvictionAPI")))
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 100)
	}, slow)
})
