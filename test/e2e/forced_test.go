package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// What is told of such a drain is read from times and exit codes that the API
// server and the kubelet write, and that they change on the way.
var _ = Describe("A drain that is cut off", func() {
	// awaitForced waits until the policy has counted its one drain as Forced,
	// for that cause, at the end of that grace.
	awaitForced := func(ctx SpecContext, ns *framework.Namespace, cause v1alpha1.Cause, grace int64) (record v1alpha1.DrainRecord) {
		GinkgoHelper()
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.RecentDrains).To(HaveLen(1))
			record = p.Status.RecentDrains[0]
			g.Expect(p.Status.Drains).To(Equal(v1alpha1.DrainCounts{Forced: 1}), "%+v", record)
			g.Expect(p.Status.DrainingPods).To(BeEmpty())
		})
		Expect(record.Outcome).To(Equal(v1alpha1.OutcomeForced), "%+v", record)
		Expect(record.Cause).To(Equal(cause), "%+v", record)
		// The API's times are whole seconds.
		Expect(record.DurationSeconds).To(And(BeNumerically(">=", grace-1), BeNumerically("<", float64(grace)+busyMachine.Seconds())), "%+v", record)
		return record
	}

	It("since the app ignores SIGTERM is Forced: the grace was spent", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2))
		pod := ns.Run(ctx, framework.Pod("web").Args("-term=ignore").Grace(4))
		grace := *pod.Spec.TerminationGracePeriodSeconds

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained() // the hold did what it could
		Expect(end.ExitCode).To(BeEquivalentTo(137), "it had to be killed")
		record := awaitForced(ctx, ns, v1alpha1.CauseGraceSpent, grace)
		Expect(record.Reason).To(And(HavePrefix(fmt.Sprintf("the grace of %d s was spent", grace)), HaveSuffix(hold.OutcomeDrained)))
	}, usual)

	It("since less was asked for than the pod has is Forced: a shorter grace", func(ctx SpecContext) {
		const asked = 2
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 3).HTTP(v1alpha1.DrainedWhenBody))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok").Grace(30))
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), 20*time.Second)
		drains := ns.WatchDrains(ctx, "web")

		out, err := env.Kubectl(ctx, "delete", "pod", "-n", ns.Name, pod.Name, fmt.Sprintf("--grace-period=%d", asked))

		Expect(err).NotTo(HaveOccurred(), out)
		end := drains.AwaitEnd(ctx).App()
		Expect(end.Sigterm).NotTo(BeNil(), "%q", end.Message)
		Expect(end.Sigterm.InFlight).To(Equal(1), "it was cut")
		Expect(traffic.Finish(ctx).Tally().Failed()).To(Equal(1))
		record := awaitForced(ctx, ns, v1alpha1.CauseShorterGrace, asked)
		Expect(record.Reason).To(Equal(fmt.Sprintf("a grace of %d s was asked for, the pod has %d s", asked, *pod.Spec.TerminationGracePeriodSeconds)))
	}, usual)
})
