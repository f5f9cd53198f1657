package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// The workload is one that ends at once on SIGTERM, and on SIGQUIT when its
// requests have ended. Its pods are released while requests are in flight: as
// soon as they are out of rotation.
var _ = Describe("A server that ends softly on SIGQUIT only", func() {
	const requests = 5

	release := func(signal v1alpha1.StopSignal) *framework.PolicyBuilder {
		return framework.Policy("web").Propagation(1, 1).With(func(s *v1alpha1.DrainPolicySpec) {
			s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation
			s.PreStop.StopSignal = signal
			s.GracePeriod.ShutdownSeconds = new(int32(15))
		})
	}

	It("is sent it as preStop.stopSignal says, and no request is cut", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, release(v1alpha1.StopSignalQUIT))
		pod := ns.Run(ctx, framework.Pod("web").Args("-soft-stop").Grace(30))
		traffic := ns.Requests(ctx, framework.WorkOf(pod, framework.WorkPort), requests, work)

		end := ns.Drain(ctx, pod).App()

		framework.ExpectNothingDropped(traffic.Finish(ctx), requests)
		end.ExpectOutcome(hold.OutcomeDrained)
		Expect(end.Result.Stop).To(Equal("SIGQUIT"))
		Expect(end.Stop).NotTo(BeNil(), "no SIGQUIT was reported: %q", end.Message)
		Expect(end.Stop.InFlight).To(Equal(requests), "the pod was released with requests in flight")
		Expect(end.Sigterm).To(BeNil(), "SIGTERM came, too: %q", end.Message)
		Expect(end.ExitCode).To(BeZero(), "%q", end.Message)
		Expect(end.Result.HeldSeconds).To(BeNumerically("<", work.Seconds()), "the hold ends with the signal")
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{Drained: 1}))
			g.Expect(p.Status.RecentDrains[0].ShutdownSeconds).To(HaveValue(BeNumerically(">=", 2)), "from the signal to the end")
		})
	}, usual)

	It("is cut by SIGTERM without it", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, release(""))
		pod := ns.Run(ctx, framework.Pod("web").Args("-soft-stop").Grace(30))
		traffic := ns.Requests(ctx, framework.WorkOf(pod, framework.WorkPort), requests, work)

		end := ns.Drain(ctx, pod).App()

		Expect(traffic.Finish(ctx).Tally().Failed()).To(Equal(requests))
		end.ExpectOutcome(hold.OutcomeDrained)
		Expect(end.Sigterm).NotTo(BeNil(), "%q", end.Message)
		Expect(end.Sigterm.InFlight).To(Equal(requests))
	}, usual)

	It("is cut by SIGTERM where its soft end takes longer than its grace", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, release(v1alpha1.StopSignalQUIT).With(func(s *v1alpha1.DrainPolicySpec) {
			s.GracePeriod = v1alpha1.GracePeriod{MinSeconds: 8, MaxSeconds: 8, ShutdownSeconds: new(int32(5))}
		}))
		pod := ns.Run(ctx, framework.Pod("web").Args("-soft-stop").Grace(8))
		ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), time.Minute)

		drain := ns.Drain(ctx, pod)

		end := drain.App()
		Expect(end.Stop).NotTo(BeNil(), "%q", end.Message)
		Expect(end.ExitCode).To(BeEquivalentTo(1), "%q", end.Message)
		took := end.FinishedAt.Sub(drain.Asked)
		Expect(took).To(BeNumerically(">=", 5*time.Second), "2 s before the grace of 8 s is over; finishedAt is whole seconds")
		Expect(took).To(BeNumerically("<", 8*time.Second+busyMachine))
	}, usual)
})
