package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// work is longer than any rotation here, so that only the drain status can
// hold the pod until its end.
const work = 7 * time.Second

var _ = Describe("A drain status", func() {
	// early is a policy under which a pod is out of rotation long before work ends.
	early := func() *framework.PolicyBuilder { return framework.Policy("web").Propagation(1, 3) }

	DescribeTable("holds SIGTERM until the last response, and not much longer",
		func(ctx SpecContext, policy *framework.PolicyBuilder) {
			ns := env.NewNamespace(ctx, nil)
			ns.Apply(ctx, policy)
			pod := ns.Run(ctx, framework.Pod("web").Status("ok").Grace(60))
			traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), work)

			end := ns.Drain(ctx, pod).App()

			end.ExpectDrained()
			framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
			Expect(end.Sigterm.At).To(BeTemporally(">", end.Sigterm.LastResponse))
			Expect(end.Sigterm.At).To(BeTemporally("<", end.Sigterm.LastResponse.Add(busyMachine)), "and not at the bound of 61 s")
			ns.AwaitCondition(ctx, "web", v1alpha1.ConditionDrainStatusReachable, "True")
		},
		Entry("as the protocol's body, long-polled", early().HTTP(v1alpha1.DrainedWhenBody), usual),
		Entry("as a status code, polled each second", early().HTTP(v1alpha1.DrainedWhenStatusCode), usual),
		Entry("as a metric, polled each second", early().HTTP(v1alpha1.DrainedWhenMetric), usual),
		Entry("as TCP connections, idle after 2 s", early().TCP(2), usual),
	)

	It("that never gets there is left at the bound, and that is said", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, early().HTTP(v1alpha1.DrainedWhenBody).MaxHold(5))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok"))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), 20*time.Second)

		end := ns.Drain(ctx, pod).App()

		end.ExpectOutcome(hold.OutcomeTimedOut)
		Expect(end.Result.InFlight).To(BeEquivalentTo(1))
		Expect(end.Sigterm.InFlight).To(Equal(1))
		Expect(end.Result.HeldSeconds).To(BeNumerically("~", 5, 1))
		Expect(end.Held).To(BeNumerically("<", 5*time.Second+busyMachine))
		Expect(traffic.Finish(ctx).Tally().Failed()).To(Equal(1))
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{TimedOut: 1}))
			g.Expect(p.Status.RecentDrains).To(HaveLen(1))
			g.Expect(p.Status.RecentDrains[0].InFlight).To(BeEquivalentTo(1))
		})
	}, usual)

	It("that cannot be believed releases the pod after rotation", func(ctx SpecContext) {
		lies := []string{"hang", "gone", "closes", "garbage", "huge", "redirect", "http500"}
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, early().HTTP(v1alpha1.DrainedWhenBody).MaxHold(40))
		for _, mode := range lies {
			// Memory is bounded: an agent that swallows 1 GB would be killed, and the
			// container with it.
			ns.Create(ctx, framework.Pod(mode).Label("app", "web").Status(mode).MemoryLimit("64Mi").Grace(60).Obj())
		}
		for _, mode := range lies {
			ns.AwaitReady(ctx, mode)
		}
		drains := ns.WatchDrains(ctx, "web")

		for _, mode := range lies {
			ns.Delete(ctx, framework.Pod(mode).Obj())
		}

		for _, d := range drains.AwaitEnds(ctx, len(lies)) {
			By(d.Pod.Name)
			end := d.App()
			end.ExpectOutcome(hold.OutcomeUnknown)
			end.ExpectNothingCut()
			Expect(end.Reason).To(Equal("Completed"), "exit code %d", end.ExitCode)
			Expect(end.Held).To(And(BeNumerically(">=", time.Second), BeNumerically("<", 20*time.Second)), "after propagation, long before the bound of 40 s")
		}
		ns.AwaitCondition(ctx, "web", v1alpha1.ConditionDrainStatusReachable, "False")
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{Unknown: int64(len(lies))}))
		})
	}, usual)
})
