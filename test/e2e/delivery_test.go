package e2e

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("With the agent from an image volume", func() { deliveries(byImageVolume) })

// A setting of the operator, which is there once: nothing else runs meanwhile.
var _ = Describe("With the agent from an init container", alone, Ordered, ContinueOnFailure, func() {
	BeforeAll(func(ctx SpecContext) {
		env.OperatorFlags(ctx, "--agent-delivery=InitContainer", "--avoid-emptydir=false")
	}, NodeTimeout(3*time.Minute))

	deliveries(byInitContainer)

	It("a rollout drops nothing", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
		ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(3))
		rollsOut(ctx, ns, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
	}, usual)
})

func byImageVolume(pod *corev1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.Image != nil {
			return len(pod.Spec.InitContainers) == 0
		}
	}
	return false
}

func byInitContainer(pod *corev1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil {
			return len(pod.Spec.InitContainers) == 1
		}
	}
	return false
}

// deliveries are the journeys that must go well whichever way the agent comes.
func deliveries(delivered func(*corev1.Pod) bool) {
	It("a pod drains in a namespace that enforces the restricted standard", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
		ns.Apply(ctx, framework.Policy("web").Propagation(1, 3).HTTP(v1alpha1.DrainedWhenBody))
		pod := ns.Run(ctx, framework.Pod("web").Status("ok"))
		Expect(delivered(pod)).To(BeTrue(), "volumes %v", pod.Spec.Volumes)
		traffic := ns.OneRequest(ctx, framework.WorkOf(pod, framework.WorkPort), work)

		end := ns.Drain(ctx, pod).App()

		end.ExpectDrained()
		framework.ExpectNothingDropped(traffic.Finish(ctx), 1)
	}, usual)

	It("every shape of security context of the corpus starts, and its agent runs", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, framework.PolicyForAll("any").Propagation(1, 2))
		shapes := framework.SecurityShapes()
		Expect(len(shapes)).To(BeNumerically(">", 30))
		for _, pod := range shapes {
			ns.Create(ctx, pod)
		}
		for _, pod := range shapes {
			started := ns.AwaitReady(ctx, pod.Name)
			Expect(delivered(started)).To(BeTrue(), "%s: volumes %v", pod.Name, started.Spec.Volumes)
		}
		drains := ns.WatchDrains(ctx, framework.ShapeApp)

		for _, pod := range shapes {
			ns.Delete(ctx, pod)
		}

		for _, d := range drains.AwaitEnds(ctx, len(shapes)) {
			for _, c := range d.Pod.Spec.Containers {
				Expect(d.Container(c.Name).Result).NotTo(BeNil(), "the agent in %s/%s left no result: %q", d.Pod.Name, c.Name, d.Container(c.Name).Message)
			}
		}
	}, slow)
}
