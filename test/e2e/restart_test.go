package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// detection is how long the hook may take to see that its container is dead.
// It cannot know why it runs: before it lets a container go that may owe
// responses, two probes of its own fail, a second each. A drain would take at
// least the 5 s of propagation, and this one, of a request that never ends, all
// of the grace.
const detection = 4500 * time.Millisecond

// Alone, since times are compared.
var _ = Describe("A deadlocked app", alone, func() {
	It("is restarted by its liveness probe not slower than without us", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(5, 30))
		run := func(name, term string, inject string) {
			pod := ns.Run(ctx, framework.Pod(name).Label("app", "web").Args("-term="+term).Liveness().Grace(15).
				Annotation(v1alpha1.AnnotationInject, inject))
			Expect(framework.Injected(pod)).To(Equal(inject == "true"))
		}
		for _, term := range []string{"exit", "ignore"} {
			run("ours-"+term, term, "true")
			run("theirs-"+term, term, "false")
		}

		took := ns.RestartTimes(ctx, "ours-exit", "theirs-exit", "ours-ignore", "theirs-ignore")

		AddReportEntry("restart of a deadlocked app", took)
		for _, term := range []string{"exit", "ignore"} {
			end := ns.LastEnd(ctx, "ours-"+term)
			end.ExpectOutcome(hold.OutcomeSkipped)
			Expect(end.Result.HeldSeconds).To(BeNumerically("<", detection.Seconds()))
		}
		Expect(took["ours-exit"]).To(BeNumerically("<", took["theirs-exit"]+detection+busyMachine), "an app that ends on SIGTERM")
		Expect(took["ours-ignore"]).To(BeNumerically("<", took["theirs-ignore"]+busyMachine), "one that has to be killed")
	}, usual)
})
