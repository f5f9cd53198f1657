package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("A policy", func() {
	edit := func(ctx SpecContext, ns *framework.Namespace, change func(*v1alpha1.DrainPolicySpec)) {
		framework.Change(ctx, ns, "web", &v1alpha1.DrainPolicy{}, func(p *v1alpha1.DrainPolicy) { change(&p.Spec) })
	}
	injectedBy := func(pods []corev1.Pod) (by []string) {
		for _, pod := range pods {
			by = append(by, pod.Annotations[v1alpha1.AnnotationInjectedBy])
		}
		return by
	}

	It("whose hook settings change reaches pods with their next creation, and says so", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2))
		ns.Deploy(ctx, framework.Pod("web").Deployment(2))
		ns.AwaitCondition(ctx, "web", v1alpha1.ConditionPodsInjected, metav1.ConditionTrue)

		edit(ctx, ns, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationMaxSeconds = 3 })

		Expect(ns.AwaitCondition(ctx, "web", v1alpha1.ConditionPodsInjected, metav1.ConditionFalse).Reason).To(Equal(v1alpha1.ReasonOlderPods))
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) { g.Expect(p.Status.Outdated).To(BeEquivalentTo(2)) })
		Expect(injectedBy(ns.Pods(ctx, "web"))).To(ConsistOf("web/1", "web/1"))
		ns.AwaitCondition(ctx, "web", v1alpha1.ConditionReady, metav1.ConditionTrue)
		ns.Restart(ctx, "web")
		Expect(injectedBy(ns.Pods(ctx, "web"))).To(ConsistOf("web/2", "web/2"))
		ns.AwaitCondition(ctx, "web", v1alpha1.ConditionPodsInjected, metav1.ConditionTrue)
	}, usual)

	It("that is set to Observe leaves new pods alone, while injected ones still drain", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2))
		old := ns.Run(ctx, framework.Pod("web"))
		Expect(framework.Injected(old)).To(BeTrue())

		edit(ctx, ns, func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })
		ready := ns.AwaitCondition(ctx, "web", v1alpha1.ConditionReady, metav1.ConditionTrue)

		Expect(ready.Reason).To(Equal(v1alpha1.ReasonObserving))
		untouched := framework.Pod("other").Label("app", "web")
		Expect(ns.WouldBe(ctx, untouched).Spec.TerminationGracePeriodSeconds).To(HaveValue(BeEquivalentTo(10)))
		ns.AwaitInjection(ctx, untouched, false)
		ns.Drain(ctx, old).App().ExpectDrained()
		edit(ctx, ns, func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeEnforce })
		ns.AwaitInjection(ctx, untouched, true)
	}, usual)

	It("that is deleted leaves new pods alone, while injected ones still drain", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 2))
		old := ns.Run(ctx, framework.Pod("web"))
		Expect(framework.Injected(old)).To(BeTrue())

		ns.Delete(ctx, framework.Policy("web").Obj())

		ns.AwaitInjection(ctx, framework.Pod("other").Label("app", "web"), false)
		ns.Drain(ctx, old).App().ExpectDrained()
	}, usual)

	It("is turned off for a namespace by a label", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web"))
		pod := framework.Pod("web")
		Expect(framework.Injected(ns.WouldBe(ctx, pod))).To(BeTrue())

		ns.Label(ctx, v1alpha1.LabelInjection, v1alpha1.InjectionDisabled)

		ns.AwaitInjection(ctx, pod, false)
		// The operator does not watch namespaces; it looks again with each edit.
		edit(ctx, ns, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationMaxSeconds = 11 })
		Expect(ns.AwaitCondition(ctx, "web", v1alpha1.ConditionReady, metav1.ConditionFalse).Reason).To(Equal(v1alpha1.ReasonInjectionDisabled))
		ns.Label(ctx, v1alpha1.LabelInjection, "enabled")
		ns.AwaitInjection(ctx, pod, true)
	}, usual)
})
