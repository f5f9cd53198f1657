package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("A deadlocked app", func() {
	DescribeTable("is restarted by its liveness probe not slower than without us",
		func(ctx SpecContext, term string) {
			ns := env.NewNamespace(ctx, nil)
			ns.Apply(ctx, framework.Policy("web").Propagation(5, 30))
			app := func(name string) *framework.PodBuilder {
				return framework.Pod(name).Label("app", "web").Args("-term=" + term).Liveness().Grace(15)
			}
			ours := ns.Run(ctx, app("ours"))
			theirs := ns.Run(ctx, app("theirs").Annotation(v1alpha1.AnnotationInject, "false"))
			Expect(framework.Injected(ours)).To(BeTrue())
			Expect(framework.Injected(theirs)).To(BeFalse())

			times := ns.RestartTimes(ctx, "ours", "theirs")
			with, without := times["ours"], times["theirs"]

			AddReportEntry("restart of a deadlocked app, -term="+term, map[string]string{"without us": without.String(), "with us": with.String()})
			// The hook cannot know why it runs: before it lets a container go that
			// may owe responses it sees two probes of its own fail, a second each.
			// A drain would take at least the 5 s of propagation, and this one, of
			// a request that never ends, all of the grace.
			end := ns.LastEnd(ctx, "ours")
			end.ExpectOutcome(hold.OutcomeSkipped)
			Expect(end.Result.HeldSeconds).To(BeNumerically("<", 4.5))
			Expect(with).To(BeNumerically("<", without+busyMachine))
		},
		Entry("when it still ends on SIGTERM", "exit", usual),
		Entry("when it has to be killed", "ignore", usual),
	)
})
