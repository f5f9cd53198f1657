package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
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

// On SIGTERM Gunicorn gives requests 30 s, whatever the pod's grace is. These pods
// are let go as soon as they are out of rotation, with a request in flight that
// takes longer; their owner gave them 60 s.
var _ = Describe("Gunicorn's own graceful timeout", func() {
	const long = 40 * time.Second

	// drained is what became of that request, and when the container had ended.
	drained := func(ctx SpecContext, timeout v1alpha1.ServerTimeout, inTime metav1.ConditionStatus, reason string) (failed int, took time.Duration) {
		s, err := servers.ByName("gunicorn-gthread")
		Expect(err).NotTo(HaveOccurred())
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy(s.Name).Propagation(1, 1).With(func(spec *v1alpha1.DrainPolicySpec) {
			spec.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation
			spec.GracePeriod.ServerTimeout = timeout
		}))
		for _, o := range s.Bare().Objects(ns.Name, framework.ServersImage(), 1) {
			if d, ok := o.(*appsv1.Deployment); ok {
				d.Spec.Template.Spec.TerminationGracePeriodSeconds = new(int64(60))
			}
			ns.Create(ctx, o)
		}
		pod := &ns.AwaitPodsReady(ctx, s.Name, 1)[0]
		Expect(ns.AwaitCondition(ctx, s.Name, v1alpha1.ConditionServerStopsInTime, inTime).Reason).To(Equal(reason))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, servers.Port), long)

		drain := ns.Drain(ctx, pod)

		end := drain.Container(servers.Container)
		end.ExpectOutcome(hold.OutcomeDrained)
		Expect(end.Result.HeldSeconds).To(BeNumerically("<", 15), "it was let go with the request in flight")
		return traffic.Finish(ctx).Tally().Failed(), end.FinishedAt.Sub(drain.Asked)
	}

	It("cuts what takes longer, and the policy says so before", func(ctx SpecContext) {
		failed, took := drained(ctx, v1alpha1.ServerTimeoutReport, metav1.ConditionFalse, v1alpha1.ReasonTimeoutTooShort)
		Expect(failed).To(Equal(1))
		Expect(took).To(And(BeNumerically(">", 29*time.Second), BeNumerically("<", long)), "Gunicorn cut it, after its 30 s")
	}, usual)

	It("is as long as the grace leaves it with serverTimeout Align, and nothing is cut", func(ctx SpecContext) {
		failed, _ := drained(ctx, v1alpha1.ServerTimeoutAlign, metav1.ConditionTrue, v1alpha1.ReasonTimeoutsLongEnough)
		Expect(failed).To(BeZero())
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
