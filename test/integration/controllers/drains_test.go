package controllers_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

var _ = Describe("Drains", func() {
	const drains = 200

	It("counts each once when the leader is killed in the midst of them", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		policy := newPolicy(ctx, namespace)
		audited := audit(ctx, policy)
		leader := startReplica(ctx, namespace)
		Eventually(leader.elected).WithTimeout(soon).Should(BeClosed())
		standby := startReplica(ctx, namespace)

		pods := make([]*corev1.Pod, drains)
		inParallel(drains, func(i int) { pods[i] = injectedPod(ctx, namespace, fmt.Sprintf("web-%03d", i)) })
		Eventually(statusOf(ctx, policy)).WithContext(ctx).WithTimeout(soon).Should(HaveField("Injected", int32(drains)))

		want := map[string]v1alpha1.Outcome{}
		for i, pod := range pods {
			want[string(pod.UID)] = v1alpha1.Outcome(outcomeOf(i))
		}
		killed := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(killed)
			Eventually(statusOf(ctx, policy)).WithContext(ctx).WithTimeout(soon).WithPolling(10 * time.Millisecond).
				Should(HaveField("Drains.Drained", BeNumerically(">", 20)))
			leader.kill()
		}()
		inParallel(drains, func(i int) {
			beginDrain(ctx, pods[i])
			endDrain(ctx, pods[i], outcomeOf(i))
			if i > drains/4 { // slowly, until the leader is gone
				Eventually(killed).WithTimeout(soon).Should(BeClosed())
			}
		})
		Eventually(standby.elected).WithTimeout(soon).Should(BeClosed())

		Eventually(func() map[string]v1alpha1.Outcome { seen, _ := audited.report(); return seen }).
			WithTimeout(soon).Should(Equal(want))
		Consistently(func() []string { _, problems := audited.report(); return problems }).WithTimeout(3 * time.Second).Should(BeEmpty())
		Expect(statusOf(ctx, policy)(Default)).To(And(
			HaveField("Drains", v1alpha1.DrainCounts{Drained: drains - drains/5, TimedOut: drains / 5}),
			HaveField("Draining", int32(0)),
			HaveField("DrainingPods", BeEmpty()),
			HaveField("Pods", int32(0)),
		))
	}, SpecTimeout(3*time.Minute))

	It("counts as unknown what it saw begin and nobody saw end", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		policy := newPolicy(ctx, namespace)
		audited := audit(ctx, policy)
		only := startReplica(ctx, namespace)
		pods := make([]*corev1.Pod, 60)
		want := map[string]v1alpha1.Outcome{}
		inParallel(len(pods), func(i int) {
			pods[i] = injectedPod(ctx, namespace, fmt.Sprintf("web-%03d", i))
			beginDrain(ctx, pods[i])
		})
		Eventually(statusOf(ctx, policy)).WithContext(ctx).WithTimeout(soon).Should(HaveField("DrainingPods", HaveLen(len(pods))))
		only.kill()

		inParallel(40, func(i int) { endDrain(ctx, pods[i], hold.OutcomeDrained) })
		next := startReplica(ctx, namespace)
		Eventually(next.elected).WithTimeout(soon).Should(BeClosed())
		inParallel(20, func(i int) { endDrain(ctx, pods[40+i], hold.OutcomeDrained) })

		for i, pod := range pods {
			want[string(pod.UID)] = v1alpha1.OutcomeUnknown
			if i >= 40 {
				want[string(pod.UID)] = v1alpha1.OutcomeDrained
			}
		}
		Eventually(func() map[string]v1alpha1.Outcome { seen, _ := audited.report(); return seen }).
			WithTimeout(soon).Should(Equal(want))
		_, problems := audited.report()
		Expect(problems).To(BeEmpty())
		Eventually(statusOf(ctx, policy)).WithContext(ctx).WithTimeout(soon).Should(And(
			HaveField("Drains", v1alpha1.DrainCounts{Drained: 20, Unknown: 40}),
			HaveField("DrainingPods", BeEmpty()),
		))
	}, SpecTimeout(3*time.Minute))
})

// outcomeOf lets every fifth drain time out.
func outcomeOf(i int) string {
	if i%5 == 0 {
		return hold.OutcomeTimedOut
	}
	return hold.OutcomeDrained
}
