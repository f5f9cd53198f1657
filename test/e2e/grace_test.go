package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// P99 latencies, and what the policies here recommend for them. The
// workload's buckets make 538 ms and 9.2 s of them, half is added, propagation
// of 3 s and shutdown of 2 s, and the sum is rounded up to steps of 5 s, 10 s
// at least.
const (
	shortP99, shortGrace = 500 * time.Millisecond, 10
	longP99, longGrace   = 8 * time.Second, 20
)

// tuned is a policy for the pods of working, whose grace follows the latency
// of a window. Both in seconds.
func tuned(name string, window, stabilization int32) *framework.PolicyBuilder {
	return framework.Policy(name).HTTP(v1alpha1.DrainedWhenBody).Propagation(1, 3).Window(window, stabilization).
		With(func(s *v1alpha1.DrainPolicySpec) { s.Selector.MatchLabels = map[string]string{"tuned": "yes"} })
}

// ownGrace is so short that nothing here is shorter: less than what the owner
// gave is recommended only on the ground of thousands of requests. What such
// pods get without measurements is what they get with the short latency.
const ownGrace = 5

// working is a pod that tells how long its requests took.
func working(name string) *framework.PodBuilder {
	return framework.Pod(name).Label("tuned", "yes").Status("ok").Scraped().Grace(ownGrace)
}

var _ = Describe("The grace", func() {
	// It waits longest of all, and begins early.
	It("follows P99 from 0.5 s to 8 s and back, whoever tells it, and evictions follow", SpecPriority(1), func(ctx SpecContext) {
		const window, stabilization = 60 * time.Second, 20 * time.Second
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, tuned("enforcing", 60, 20).PodMetrics())
		ns.Create(ctx, tuned("observing", 60, 20).Prometheus(steadySource).Observe().Obj())
		logs := []*framework.GraceLog{ns.FollowGrace(ctx, "enforcing"), ns.FollowGrace(ctx, "observing")}
		awaitBoth := func(seconds int32) (said []*v1alpha1.GraceStatus) {
			GinkgoHelper()
			return []*v1alpha1.GraceStatus{ns.AwaitGrace(ctx, "enforcing", seconds), ns.AwaitGrace(ctx, "observing", seconds)}
		}
		ns.Deploy(ctx, working("web").Deployment(2))
		target := ns.Service(ctx, "web", framework.WorkPort)

		By("serving fast")
		traffic := ns.StartLoad(ctx, framework.Around(target, 50, shortP99))
		awaitBoth(shortGrace)
		for _, name := range []string{"idle-1", "idle-2"} {
			pod := ns.Run(ctx, working(name).Label("app", "idle"))
			Expect(pod.Spec.TerminationGracePeriodSeconds).To(HaveValue(BeEquivalentTo(shortGrace)))
		}
		before := traffic.Finish(ctx)

		By("serving slowly")
		turned := time.Now()
		traffic.Begin(ctx, framework.Around(target, 25, longP99))
		said := awaitBoth(longGrace)
		Expect(ns.GraceOf(ctx, working("new"))).To(BeEquivalentTo(longGrace))
		drains := ns.WatchDrains(ctx, "idle")
		ns.Evict(ctx, "idle-1", nil)
		ns.Evict(ctx, "idle-2", ptr.To[int64](ownGrace))
		for _, d := range drains.AwaitEnds(ctx, 2) {
			want := map[string]int{"idle-1": longGrace, "idle-2": ownGrace}[d.Pod.Name]
			Expect(d.Grace).To(BeEquivalentTo(want), "%s was created with %d s", d.Pod.Name, shortGrace)
		}
		meanwhile := traffic.Finish(ctx)

		By("serving fast again")
		back := time.Now() // every slow request has ended
		traffic.Begin(ctx, framework.Around(target, 50, shortP99))
		awaitBoth(shortGrace)
		Expect(ns.GraceOf(ctx, working("new"))).To(BeEquivalentTo(shortGrace))
		after := traffic.Finish(ctx)

		for i, log := range logs {
			framework.ExpectP99(said[i], meanwhile)
			log.ExpectServed(window, before, meanwhile, after)
			raised, lowered := log.FirstSince(turned, longGrace).Sub(turned), log.FirstSince(back, shortGrace).Sub(back)
			AddReportEntry("turns", fmt.Sprintf("raised %s after requests became slow, lowered %s after they became fast", raised, lowered))
			Expect(raised).To(BeNumerically("<", window), "at once: with the first slow answers, long before the window is full of them")
			Expect(lowered).To(BeNumerically(">", window+stabilization/2), "not before the window has passed")
			Expect(log.Measured()).To(HaveEach(HaveField("RecommendedSeconds", BeElementOf(int32(shortGrace), int32(15), int32(longGrace)))))
		}
	}, slow)

	It("is only told by a policy that observes, and stands while its Prometheus is stopped", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, tuned("observing", 60, 0).Prometheus(stoppedSource).Observe())
		ns.Deploy(ctx, working("web").Deployment(2))
		traffic := ns.StartLoad(ctx, framework.Around(ns.Service(ctx, "web", framework.WorkPort), 50, shortP99))

		ns.AwaitGrace(ctx, "observing", shortGrace)

		ns.Restart(ctx, "web")
		for _, pod := range ns.Pods(ctx, "web") {
			Expect(framework.Injected(&pod)).To(BeFalse())
			Expect(pod.Spec.TerminationGracePeriodSeconds).To(HaveValue(BeEquivalentTo(ownGrace)))
			Expect(framework.Hook(&pod, "app")).To(BeNil())
		}
		prometheus := env.Prometheus(monitoring, stoppedSource)
		prometheus.Stop(ctx)
		Expect(ns.AwaitCondition(ctx, "observing", v1alpha1.ConditionLatencyObserved, metav1.ConditionFalse).Reason).
			To(Equal(v1alpha1.ReasonSourceUnavailable))
		ns.AwaitPolicy(ctx, "observing", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.GracePeriod.RecommendedSeconds).To(BeEquivalentTo(shortGrace))
			g.Expect(p.Status.GracePeriod.AppliedSeconds).To(HaveValue(BeEquivalentTo(ownGrace)))
		})
		prometheus.Start(ctx)
		ns.AwaitGrace(ctx, "observing", shortGrace)
		traffic.Finish(ctx)
	}, usual)

	It("learns from drains what propagation and shutdown take", func(ctx SpecContext) {
		const own, drained, exit, longest = 15, 10, 3 * time.Second, 20
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, tuned("web", 300, 0).PodMetrics().Notify().Propagation(1, longest).
			With(func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.ShutdownSeconds = nil }))
		// Prometheus, were it told of them, would keep them in rotation: it
		// comes more often than silence has to last.
		pod := func(name string) *framework.PodBuilder {
			return framework.Pod(name).Label("tuned", "yes").Label("app", "web").Status("ok").Grace(own).Args("-exit-after=" + exit.String())
		}
		goes := func(i int) *framework.PodBuilder { return pod(fmt.Sprintf("goes-%d", i)) }
		ns.Create(ctx, pod("stays").Obj())
		for i := range drained {
			ns.Create(ctx, goes(i).Obj())
		}
		ns.AwaitReady(ctx, "stays")
		for i := range drained {
			ns.AwaitReady(ctx, goes(i).Obj().Name)
		}
		cfg := framework.FreshMix(ns.Service(ctx, "web", framework.WorkPort), 80)
		cfg.Work = framework.Exactly(100 * time.Millisecond)
		traffic := ns.StartLoad(ctx, cfg)
		// Propagation at its most, the latency, and the own grace for the shutdown.
		before := ns.AwaitGrace(ctx, "web", longest+5+own)
		drains := ns.WatchDrains(ctx, "web")

		for i := range drained {
			ns.Delete(ctx, goes(i).Obj())
		}

		drains.AwaitEnds(ctx, drained)
		var after *v1alpha1.GraceStatus
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			after = p.Status.GracePeriod
			g.Expect(after.Reason).To(And(ContainSubstring("(observed)"), ContainSubstring("(measured)")))
			g.Expect(after.ShutdownSeconds).To(HaveValue(And(BeNumerically(">=", exit.Seconds()), BeNumerically("<", (exit+busyMachine).Seconds()))))
			g.Expect(*after.HoldSeconds).To(BeNumerically("<", *before.HoldSeconds))
			g.Expect(after.RecommendedSeconds).To(And(BeNumerically(">=", own), BeNumerically("<", before.RecommendedSeconds)))
		})
		AddReportEntry("learned", before.Reason+"\n"+after.Reason)
		Expect(ns.GraceOf(ctx, pod("later"))).To(BeEquivalentTo(after.RecommendedSeconds))
		framework.ExpectNothingDropped(traffic.Finish(ctx), 500)
	}, usual)

	It("stands when the leader is killed", alone, Label("node"), func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		// A window that the new leader's cannot have: it has to say so.
		ns.Apply(ctx, tuned("web", 3600, 0).PodMetrics())
		pod := ns.Run(ctx, working("web"))
		traffic := ns.StartLoad(ctx, framework.Around(framework.WorkOf(pod, framework.WorkPort), 100, 20*time.Millisecond))
		before := ns.AwaitGrace(ctx, "web", shortGrace)
		traffic.Finish(ctx)
		leader := env.LeaderIdentity(ctx)

		framework.KillOnNode(ctx, env.Leader(ctx))

		env.AwaitNewLeader(ctx, leader)
		Expect(ns.AwaitCondition(ctx, "web", v1alpha1.ConditionLatencyObserved, metav1.ConditionFalse).Reason).
			To(Equal(v1alpha1.ReasonTooFewRequests), "the window of the new leader is empty")
		after := framework.Get(ctx, ns, "web", &v1alpha1.DrainPolicy{}).Status.GracePeriod
		Expect([]*int32{&after.RecommendedSeconds, after.HoldSeconds}).To(Equal([]*int32{&before.RecommendedSeconds, before.HoldSeconds}), after.Reason)
		Expect(ns.GraceOf(ctx, working("new"))).To(BeEquivalentTo(shortGrace))
		env.AwaitOperator(ctx)
	}, slow)
})
