package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("The operator", alone, func() {
	It("is not needed for a rollout that drops nothing and tells those who are connected", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
		ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(3))
		traffic := ns.StartLoad(ctx, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
		streams := env.NewNamespace(ctx, nil)
		clients := connectStreams(ctx, streams)
		traffic.AwaitRequests(ctx, 50)
		drains, told := ns.WatchDrains(ctx, "web"), streams.WatchDrains(ctx, "web")
		start := env.WithoutOperator(ctx)

		streams.Restart(ctx, "web")
		ns.Restart(ctx, "web")

		for _, d := range drains.AwaitEnds(ctx, 3) {
			d.App().ExpectDrained()
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 200)
		expectStreamsTold(ctx, clients, told)
		for _, pod := range ns.Pods(ctx, "web") {
			Expect(framework.Injected(&pod)).To(BeFalse(), "nobody was there to inject %s", pod.Name)
		}
		start(ctx)
		ns.AwaitCondition(ctx, "web", v1alpha1.ConditionPodsInjected, metav1.ConditionFalse)
	}, slow)

	It("accounts for every drain across a kill of its leader", Label("node"), func(ctx SpecContext) {
		const pods = 40
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(2, 3))
		pod := func(i int) *framework.PodBuilder { return framework.Pod(fmt.Sprintf("web-%d", i)).Label("app", "web") }
		for i := range pods {
			ns.Create(ctx, pod(i).Obj())
		}
		for i := range pods {
			ns.AwaitReady(ctx, pod(i).Obj().Name)
		}
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) { g.Expect(p.Status.Injected).To(BeEquivalentTo(pods)) })
		drains := ns.WatchDrains(ctx, "web")
		leader := env.LeaderIdentity(ctx)

		for i := range pods / 2 {
			ns.Delete(ctx, pod(i).Obj())
		}
		framework.KillOnNode(ctx, env.Leader(ctx))
		for i := pods / 2; i < pods; i++ {
			ns.Delete(ctx, pod(i).Obj())
		}

		for _, d := range drains.AwaitEnds(ctx, pods) {
			d.App().ExpectDrained()
		}
		env.AwaitNewLeader(ctx, leader)
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			c := p.Status.Drains
			AddReportEntry("outcomes", fmt.Sprintf("%+v", c), ReportEntryVisibilityNever)
			g.Expect(c.Drained+c.Unknown).To(BeEquivalentTo(pods), "%+v", c)
			g.Expect(p.Status.Draining).To(BeZero())
		})
		env.AwaitOperator(ctx)
	}, slow)

	It("is never asked about pods of a namespace without a policy", func(ctx SpecContext) {
		const pods = 10
		with, without := env.NewNamespace(ctx, nil), env.NewNamespace(ctx, nil)
		with.Apply(ctx, framework.Policy("web"))
		before := env.WebhookCalls(ctx)
		for range pods {
			without.WouldBe(ctx, framework.Pod("web"))
		}
		Expect(env.WebhookCalls(ctx)-before).To(BeNumerically("<", pods), "calls for pods of a namespace without a policy")
		before = env.WebhookCalls(ctx)
		for range pods {
			with.WouldBe(ctx, framework.Pod("web"))
		}
		Expect(env.WebhookCalls(ctx)-before).To(BeNumerically(">=", pods), "the API server's count of calls")
	}, usual)

	It("lets pods start with the native sleep when the agent's image is not to be had", func(ctx SpecContext) {
		env.OperatorFlags(ctx, fmt.Sprintf("--agent-image=drain-operator.dev/nowhere@sha256:%064d", 1))
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 4))
		ns.Create(ctx, framework.Pod("web").Deployment(1))

		condition := ns.AwaitCondition(ctx, "web", v1alpha1.ConditionAgentInstallable, metav1.ConditionFalse)

		Expect(condition.Reason).To(Equal(v1alpha1.ReasonImagePull))
		pod := ns.Run(ctx, framework.Pod("next").Label("app", "web"))
		Expect(framework.Hook(pod, "app").Sleep).To(Equal(&corev1.SleepAction{Seconds: 4}))
		end := ns.Drain(ctx, pod).App()
		end.ExpectNothingCut()
		Expect(end.Held).To(And(BeNumerically(">=", 4*time.Second), BeNumerically("<", 4*time.Second+busyMachine)))
	}, slow)
})
