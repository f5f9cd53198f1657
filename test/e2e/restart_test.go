package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("A deadlocked app", func() {
	DescribeTable("is restarted by its liveness probe not slower than without us",
		func(ctx SpecContext, term string) {
			ns := env.NewNamespace(ctx, nil)
			ns.Apply(ctx, framework.Policy("web").Propagation(5, 30))
			app := func(name string) *framework.PodBuilder {
				return framework.Pod(name).Label("app", "web").Args("-term=" + term).Liveness().Grace(6)
			}
			ours := ns.Run(ctx, app("ours"))
			theirs := ns.Run(ctx, app("theirs").Annotation(v1alpha1.AnnotationInject, "false"))
			Expect(framework.Injected(ours)).To(BeTrue())
			Expect(framework.Injected(theirs)).To(BeFalse())

			times := ns.RestartTimes(ctx, "ours", "theirs")
			with, without := times["ours"], times["theirs"]

			AddReportEntry("restart of a deadlocked app, -term="+term, map[string]string{"without us": without.String(), "with us": with.String()})
			Expect(with).To(BeNumerically("<", without+2*time.Second), "a probe's period and its timeout on top")
		},
		Entry("when it still ends on SIGTERM", "exit", usual),
		Entry("when it has to be killed", "ignore", usual),
	)
})
