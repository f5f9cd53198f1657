package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("A pod of several containers", func() {
	It("keeps the hook of one and drains with the other's", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 3).HTTP(v1alpha1.DrainedWhenBody))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok").Container("helper", 8085).Hook(12))
		Expect(framework.Hook(pod, "helper").Sleep).To(Equal(&corev1.SleepAction{Seconds: 12}))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), work)

		end := ns.Drain(ctx, pod)

		end.App().ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
		helper := end.Container("helper")
		Expect(helper.Result).To(BeNil(), "no agent ran there")
		Expect(helper.Held).To(And(BeNumerically(">=", 12*time.Second), BeNumerically("<", 12*time.Second+busyMachine)))
	}, usual)

	It("is not cut off by the proxy in front of the app", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").TCP(1).With(func(s *v1alpha1.DrainPolicySpec) {
			s.DrainStatus.TCP.Ports = []int32{framework.WorkPort}
		}))
		ns.Deploy(ctx, framework.Pod("web").Container("proxy", framework.ProxyPort, "-proxy-to=127.0.0.1:8080").Deployment(2))
		traffic := ns.StartLoad(ctx, framework.FreshMix(ns.Service(ctx, "web", framework.ProxyPort), 15))
		traffic.AwaitRequests(ctx, 50)
		drains := ns.WatchDrains(ctx, "web")

		ns.Restart(ctx, "web")

		for _, d := range drains.AwaitEnds(ctx, 2) {
			d.App().ExpectDrained()
			proxy := d.Container("proxy")
			proxy.ExpectNothingCut()
			Expect(proxy.Sigterm.At).To(BeTemporally(">=", d.App().Sigterm.At), "the proxy outlives the app")
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 100)
	}, usual)
})

var _ = Describe("A small container", func() {
	It("that is 90 % full is held by the native sleep and not killed", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 4))
		pod := ns.Run(ctx, framework.Pod("web").Args("-fill-memory=21").MemoryLimit("24Mi"))
		Expect(framework.Hook(pod, "app").Sleep).To(Equal(&corev1.SleepAction{Seconds: 4}))

		end := ns.Drain(ctx, pod).App()

		end.ExpectNothingCut()
		Expect(end.Reason).To(Equal("Completed"), "exit code %d", end.ExitCode)
		Expect(end.Held).To(And(BeNumerically(">=", 4*time.Second), BeNumerically("<", 4*time.Second+busyMachine)))
	}, usual)
})

var _ = Describe("A hold", func() {
	It("ends by hand through kubectl exec", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2).HTTP(v1alpha1.DrainedWhenBody).MaxHold(120))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok").Grace(120))
		ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), 50*time.Second)
		drains := ns.WatchDrains(ctx, "web")
		ns.Delete(ctx, pod)
		drains.AwaitDraining(ctx, 1)

		var released time.Time
		Eventually(func(g Gomega) { // the hook starts a moment after the deletion
			out, err := env.Kubectl(ctx, "exec", "-n", ns.Name, "web", "-c", "app", "--", hold.AgentPath, "release")
			g.Expect(err).NotTo(HaveOccurred(), out)
			released = time.Now()
		}).WithContext(ctx).WithTimeout(15 * time.Second).WithPolling(500 * time.Millisecond).Should(Succeed())

		end := drains.AwaitEnd(ctx).App()
		end.ExpectOutcome(hold.OutcomeSkipped)
		Expect(end.Sigterm.At).To(BeTemporally("~", released, busyMachine))
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{Skipped: 1}))
		})
	}, usual)
})
