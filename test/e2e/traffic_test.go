package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
)

var _ = Describe("Traffic", func() {
	It("of one request in five seconds from a load balancer that stops after 20 s is all answered", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(5, 30).TCP(2))
		pod := ns.Run(ctx, framework.Pod("web"))
		target := framework.WorkOf(pod, framework.WorkPort)
		balancer := ns.StartLoad(ctx, load.Config{Target: target, FreshPerSecond: 0.2, PostPercent: 50, Seed: 7, Work: framework.Exactly(50 * time.Millisecond)})
		balancer.AwaitRequests(ctx, 3)
		drains := ns.WatchDrains(ctx, "web")

		ns.Delete(ctx, pod)

		stop := ns.After(ctx, drains, 20*time.Second)
		sent := balancer.Finish(ctx)
		end := drains.AwaitEnd(ctx)
		framework.ExpectNothingDropped(sent, 4)
		Expect(framework.LastSent(sent)).To(BeTemporally(">", end.Asked.Add(5*time.Second)), "propagationSeconds alone would have been enough")
		Expect(end.App().Sigterm.At).To(BeTemporally(">", stop))
		end.App().ExpectDrained()
	}, usual)

	It("whose headers are flushed while the body takes 3 s more is not cut", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2).TCP(5))
		pod := ns.Run(ctx, framework.Pod("web").Args("-flush"))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), 3*time.Second)

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
	}, usual)

	It("back to back on one connection ends when the notified workload asks for it", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
		ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(2))
		traffic := ns.StartLoad(ctx, framework.Busy(ns.Service(ctx, "web", framework.WorkPort), 4, 20*time.Millisecond))
		traffic.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")

		ns.Restart(ctx, "web")

		for _, d := range drains.AwaitEnds(ctx, 2) {
			d.App().ExpectDrained()
			Expect(d.App().Sigterm.Notified).To(BeTrue())
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 200)
	}, usual)

	It("back to back on one connection that nobody ends holds to a bound, and the outcome does not hide it", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").TCP(2).MaxHold(15))
		pod := ns.Run(ctx, framework.Pod("web"))
		traffic := ns.StartLoad(ctx, framework.Busy(framework.WorkOf(pod, framework.WorkPort), 1, 50*time.Millisecond))
		traffic.AwaitRequests(ctx, 20)

		end := ns.Drain(ctx, pod).App()

		end.ExpectOutcome(hold.OutcomeTimedOut)
		Expect(end.Result.HeldSeconds).To(BeNumerically("~", 15, 1))
		sent := traffic.Finish(ctx)
		Expect(sent.Tally(load.OnPersistent).ByCause[load.Answered]).To(BeNumerically(">", 100))
	}, usual)

	It("to an app that listens on the pod's address only is drained", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 3).TCP(1))
		pod := ns.Run(ctx, framework.Pod("web").Args("-listen-pod-ip"))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), work)

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
	}, usual)

	It("to an app that serves its drain status on the pod's address only is drained", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 3).HTTP(v1alpha1.DrainedWhenBody))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok").Args("-listen-pod-ip"))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), work)

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
	}, usual)

	It("to a pod on the host's network is waited for as long as propagation may take", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		const port, status = 28080, 28081
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 6).HTTPAt(status))
		pod := ns.Run(ctx, framework.BarePod("web").Container("app", port, "-status=ok", "-status-addr=:28081").
			With(func(p *corev1.Pod) { p.Spec.HostNetwork = true }))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, port), 2*time.Second)

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
		Expect(end.Held).To(BeNumerically(">=", 6*time.Second), "the sockets of a host say nothing of one pod")
	}, usual)
})
