package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// Each breaks something that all others stand on.
var _ = Describe("While pods are held", alone, Label("node"), func() {
	It("the leader is wedged, then killed, then every replica, and nothing is stuck, cut or left unready", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		runHolding(ctx, ns, holding("web"), "first", "second", "third", "fourth", "fifth")
		sessions := map[string]*framework.Session{}
		for _, name := range []string{"first", "second", "third", "fourth", "fifth"} {
			sessions[name] = ns.Session(ctx, name, endless)
		}
		drains := ns.WatchDrains(ctx, "web")
		ns.DeleteHeld(ctx, "first", "second", "third")

		for i, how := range []struct{ what, signal, pod string }{{"wedged", "STOP", "first"}, {"killed", "KILL", "second"}} {
			By("the leader is " + how.what)
			leader, pod := env.LeaderIdentity(ctx), env.Leader(ctx)
			framework.SignalOnNode(ctx, pod, how.signal)
			began := time.Now()
			sessions[how.pod].End()
			ns.Run(ctx, sessionPod("born-"+how.what).Label("app", "web"))
			AddReportEntry("leader "+how.what, fmt.Sprintf("a new pod was ready %s later", framework.Since(began)))
			Expect(drains.AwaitEnds(ctx, i+1)[i].Pod.Name).To(Equal(how.pod))
			AddReportEntry("leader "+how.what, fmt.Sprintf("a pod that had drained was gone %s later", framework.Since(began)))
			Expect(env.LeaderIdentity(ctx)).NotTo(Equal(leader), "the pod was released by another leader")
			ns.ExpectStillHeld(ctx, "third")
			if how.signal == "STOP" { // its liveness probe would do that, later
				framework.KillOnNode(ctx, pod)
			}
			env.AwaitRestarted(ctx, pod)
			AddReportEntry("leader "+how.what, fmt.Sprintf("the operator was whole again %s later", framework.Since(began)))
		}
		ns.DeleteHeld(ctx, "fourth")

		By("killing every replica")
		dead := env.KillOperator(ctx)
		killed := time.Now()
		sessions["third"].End()
		Expect(ns.TryDelete(ctx, "fifth")).To(Succeed(), "nobody is there to refuse")
		ns.Run(ctx, sessionPod("born-alone").Label("app", "web"))
		AddReportEntry("all killed", fmt.Sprintf("a new pod was ready %s later", framework.Since(killed)))
		sessions["fifth"].ExpectUnderWay()
		sessions["fifth"].End()
		for _, d := range drains.AwaitEnds(ctx, 4) {
			d.App().ExpectNothingCut()
		}
		AddReportEntry("all killed", fmt.Sprintf("a pod that had drained was gone %s later", framework.Since(killed)))
		for i := range dead {
			env.AwaitRestarted(ctx, &dead[i])
		}
		AddReportEntry("all killed", fmt.Sprintf("the operator was whole again %s later", framework.Since(killed)))
		ns.ExpectStillHeld(ctx, "fourth")
		sessions["fourth"].ExpectUnderWay()
		sessions["fourth"].End()
		drains.AwaitEnds(ctx, 5)
		for _, pod := range ns.Pods(ctx, "web") {
			Expect(framework.Ready(&pod)).To(BeTrue(), pod.Name)
		}
	}, slow)

	It("the API server restarts, and its webhooks cannot be reached", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		pods := runHolding(ctx, ns, holding("web"), "held", "next")
		// Past the API server, which restarts.
		traffic := ns.OneRequest(ctx, framework.WorkOf(pods[0], framework.WorkPort), 25*time.Second)
		ns.DeleteHeld(ctx, "held")

		By("restarting the API server")
		began := time.Now()
		framework.RestartComponent(ctx, "kube-apiserver")
		AddReportEntry("API server", fmt.Sprintf("back after %s", framework.Since(began)))
		drains := ns.WatchDrains(ctx, "web")
		ns.ExpectStillHeld(ctx, "held")
		Eventually(func() error { return ns.TryDelete(ctx, "held") }).WithContext(ctx).WithTimeout(time.Minute).WithPolling(time.Second).
			ShouldNot(Succeed()) // webhooks are called again
		AddReportEntry("API server", fmt.Sprintf("deletions are refused again after %s", framework.Since(began)))
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
		drained := time.Now()
		drains.AwaitEnd(ctx).App().ExpectDrained()
		AddReportEntry("API server", fmt.Sprintf("the held pod was gone %s after its session", framework.Since(drained)))
		env.AwaitOperator(ctx)

		By("cutting the webhooks off")
		session := ns.Session(ctx, "next", 12*time.Second)
		ns.Run(ctx, sessionPod("later").Label("app", "web"))
		later := ns.Session(ctx, "later", endless)
		ns.DeleteHeld(ctx, "later")
		mend := env.CutWebhooks(ctx)
		asked := time.Now()
		Expect(ns.TryDelete(ctx, "next")).To(Succeed(), "webhooks fail open")
		AddReportEntry("webhooks", fmt.Sprintf("a deletion was accepted after %s", framework.Since(asked)))
		born := ns.Run(ctx, sessionPod("born").Label("app", "web"))
		Expect(framework.Injected(born)).To(BeFalse())
		later.End() // the leader needs no webhook
		session.ExpectWhole(ctx)
		for _, d := range drains.AwaitEnds(ctx, 3) {
			d.App().ExpectDrained()
		}
		mend(ctx)
		mended := time.Now()
		ns.AwaitInjection(ctx, sessionPod("new").Label("app", "web"), true)
		AddReportEntry("webhooks", fmt.Sprintf("new pods were injected again after %s", framework.Since(mended)))
		Expect(framework.Ready(framework.Get(ctx, ns, "born", &corev1.Pod{}))).To(BeTrue())
	}, slow)

	It("their node is drained, and tainted", func(ctx SpecContext) {
		const session = 12 * time.Second
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, holding("web"))
		app := func(part string) *framework.PodBuilder {
			return sessionPod(part).Label("app", "web").Label("part", part)
		}
		ns.Deploy(ctx, app("goes").Deployment(2))
		ns.Deploy(ctx, app("stays").Deployment(1))
		parts := map[string][]string{}
		var node string
		for _, pod := range ns.Pods(ctx, "web") {
			node = pod.Spec.NodeName
			parts[pod.Labels["part"]] = append(parts[pod.Labels["part"]], pod.Name)
		}
		goes, stays := parts["goes"], parts["stays"][0]
		ns.AwaitHolding(ctx, "web", goes[0])
		traffic := ns.StartLoad(ctx, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
		traffic.AwaitRequests(ctx, 20)
		sessions := ns.Sessions(ctx, session, goes...)
		drains := ns.WatchDrains(ctx, "web")
		DeferCleanup(func(ctx SpecContext) {
			out, err := env.Kubectl(ctx, "uncordon", node)
			Expect(err).NotTo(HaveOccurred(), out)
		})

		By("draining it with no more flags than its DaemonSets and other pods ask for")
		began := time.Now()
		out, err := env.Kubectl(ctx, "drain", node, "--ignore-daemonsets", "--pod-selector=part=goes", "--timeout=90s")
		Expect(err).NotTo(HaveOccurred(), out)
		AddReportEntry("kubectl drain", framework.Since(began).String()+"\n"+out)
		framework.ExpectWhole(ctx, sessions)
		for _, d := range drains.AwaitEnds(ctx, 2) {
			d.App().ExpectDrained()
			Expect(framework.ConditionOf(d.Pod, corev1.DisruptionTarget).Reason).To(Equal("EvictionByEvictionAPI"))
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 50)

		By("tainting it with NoExecute")
		final := ns.Session(ctx, stays, 8*time.Second)
		framework.ExpectRefused(ns.TryDelete(ctx, stays))
		tainted := time.Now()
		ns.TaintFor(ctx, node)
		ns.AwaitTerminating(ctx, stays)
		AddReportEntry("NoExecute", fmt.Sprintf("deletion accepted %s after the taint", framework.Since(tainted)))
		final.ExpectUnderWay()
		final.ExpectWhole(ctx)
		end := drains.AwaitEnds(ctx, 3)[2]
		end.App().ExpectDrained()
		Expect(framework.ConditionOf(end.Pod, corev1.DisruptionTarget).Reason).To(Equal("DeletionByTaintManager"))
	}, slow)
})
