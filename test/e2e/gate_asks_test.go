package e2e

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

func metaOf(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }

// runHolding applies a policy for the pods labelled app: web, runs bare pods of
// these names, and returns them once the hold is in effect.
func runHolding(ctx SpecContext, ns *framework.Namespace, policy *framework.PolicyBuilder, names ...string) (pods []*corev1.Pod) {
	GinkgoHelper()
	ns.Apply(ctx, policy)
	for _, name := range names {
		ns.Create(ctx, sessionPod(name).Label("app", "web").Obj())
	}
	for _, name := range names {
		pods = append(pods, ns.AwaitReady(ctx, name))
	}
	for _, pod := range pods {
		Expect(framework.Gated(pod)).To(BeTrue(), "%s has no readiness gate", pod.Name)
	}
	ns.AwaitHolding(ctx, "web", names[0])
	return pods
}

var _ = Describe("A pod under hold Deletion", func() {
	It("goes when it has drained, however it was asked to, and all of that can be seen", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		pods := runHolding(ctx, ns, holding("web"), "deleted", "evicted", "evicted-old", "forced", "stays")
		for _, pod := range pods {
			Expect(framework.ConditionOf(framework.Get(ctx, ns, pod.Name, &corev1.Pod{}), v1alpha1.PodDeletionRequested)).
				To(BeZero(), "a dry run leaves no trace")
		}
		held := []string{"deleted", "evicted", "evicted-old"}
		sessions := map[string]*framework.Session{}
		for _, pod := range pods {
			sessions[pod.Name] = ns.Session(ctx, pod.Name, endless)
		}
		drains := ns.WatchDrains(ctx, "web")

		refused := map[string]string{"reason": string(drain.RefusedNotDrained)}
		before := ns.OperatorMetrics(ctx).Sum(refusalsCounter, refused)

		By("asking")
		out, err := env.Kubectl(ctx, "delete", "pod", "deleted", "-n", ns.Name)
		Expect(err).To(HaveOccurred(), "kubectl delete says that it is refused")
		AddReportEntry("kubectl delete", out)
		Expect(out).To(ContainSubstring("pod "+ns.Name+"/deleted is held until it has drained"), "what is waited for")
		framework.ExpectRefused(ns.TryEvict(ctx, "evicted", "v1"))
		framework.ExpectRefused(ns.TryEvict(ctx, "evicted-old", "v1beta1"))
		_, err = env.Kube.Discovery().ServerResourcesForGroupVersion("policy/v1beta1")
		AddReportEntry("policy/v1beta1", fmt.Sprintf("served as a group version: %v; evictions of that version are taken and held", err == nil))
		out, err = env.Kubectl(ctx, "delete", "pod", "forced", "-n", ns.Name, "--grace-period=0", "--force")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(drains.AwaitEnd(ctx).Pod.Name).To(Equal("forced"))

		By("seeing it held")
		for _, name := range held {
			ns.AwaitOutOfRotation(ctx, name)
		}
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Held).To(BeEquivalentTo(len(held)))
			var names []string
			for _, h := range p.Status.HeldPods {
				names = append(names, h.Name)
				g.Expect(h.WaitingFor).To(Equal(v1alpha1.WaitingForRequests))
				g.Expect(h.Until.Sub(h.Since.Time)).To(Equal(300 * time.Second))
			}
			g.Expect(names).To(ConsistOf(held))
		})
		for _, name := range held { // they ask again, as controllers and kubectl drain do
			framework.ExpectRefused(ns.TryDelete(ctx, name))
			sessions[name].ExpectUnderWay()
		}
		mine := map[string]string{"namespace": ns.Name, "policy": "web"}
		metrics := ns.OperatorMetrics(ctx)
		Expect(metrics.Sum(heldGauge, mine)).To(BeEquivalentTo(len(held)), metrics.Text(heldGauge))
		Expect(metrics.Sum(refusalsCounter, refused)-before).To(BeNumerically(">=", 2*len(held)), metrics.Text("drain_operator_gate"))
		for _, name := range held {
			ns.ExpectEvents(ctx, name, framework.EventHeld)
		}

		By("letting them go")
		ended := time.Now()
		for _, name := range held {
			sessions[name].End()
		}
		for _, d := range drains.AwaitEnds(ctx, 1+len(held)) {
			if d.Pod.Name == "forced" {
				continue
			}
			By(d.Pod.Name)
			d.App().ExpectDrained()
			AddReportEntry(d.Pod.Name, fmt.Sprintf("deletion accepted %s after its session ended", d.Asked.Sub(ended)))
			Expect(d.Asked.Sub(ended)).To(BeNumerically("<", busyMachine))
		}
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) {
			g.Expect(p.Status.Held).To(BeZero())
			g.Expect(p.Status.HeldPods).To(BeEmpty())
		})
		for _, name := range held {
			AddReportEntry("events", ns.ExpectEvents(ctx, name, framework.EventHeld, framework.EventReleased))
		}
		Expect(ns.OperatorMetrics(ctx).Sum(heldGauge, mine)).To(BeZero())
		sessions["stays"].ExpectUnderWay()
	}, usual)

	// Pod garbage collection takes a minute: it begins early.
	It("goes at once when its node is gone, and when a pod of higher priority needs its place", SpecPriority(1), func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		runHolding(ctx, ns, holding("web"), "real")
		drains := ns.WatchDrains(ctx, "web")
		like := framework.Get(ctx, ns, "real", &corev1.Pod{})

		By("holding a pod on a node that goes")
		node := ns.NodeWithoutKubelet(ctx, like.Spec.NodeName)
		ns.Create(ctx, sessionPod("elsewhere").Label("app", "web").With(func(p *corev1.Pod) { p.Spec.NodeName = node.Name }).Obj())
		ns.SeemsToRun(ctx, "elsewhere", like)
		framework.ExpectRefused(ns.TryDelete(ctx, "elsewhere"))
		Expect(env.Client.Delete(ctx, node)).To(Succeed())
		lost := time.Now()

		By("preempting a pod that is held, and whose session goes on")
		seat := ns.Scarce(ctx, like.Spec.NodeName)
		low := ns.Run(ctx, sessionPod("low").Label("app", "web").Grace(60).Takes(seat))
		session := ns.Session(ctx, "low", 12*time.Second)
		framework.ExpectRefused(ns.TryDelete(ctx, "low"))
		class := ns.HigherPriority(ctx)
		asked := time.Now()
		ns.Create(ctx, framework.Pod("high").Takes(seat).With(func(p *corev1.Pod) { p.Spec.PriorityClassName = class }).Obj())
		ns.AwaitTerminating(ctx, low.Name)
		AddReportEntry("preemption", fmt.Sprintf("accepted after %s", framework.Since(asked)))
		session.ExpectUnderWay() // its hook holds it now
		session.ExpectWhole(ctx)
		ns.AwaitReady(ctx, "high")
		end := drains.AwaitEnds(ctx, 1)[0]
		Expect(end.Pod.Name).To(Equal("low"))
		Expect(framework.ConditionOf(end.Pod, corev1.DisruptionTarget).Reason).To(Equal("PreemptionByScheduler"))
		end.App().ExpectDrained()

		By("losing the node")
		ns.AwaitGone(ctx, &corev1.Pod{ObjectMeta: metaOf("elsewhere")})
		AddReportEntry("node deletion", fmt.Sprintf("its pod went after %s, of which pod GC waits 40 s", framework.Since(lost)))
		for _, d := range drains.Ended() {
			if d.Pod.Name == "elsewhere" {
				Expect(framework.ConditionOf(d.Pod, corev1.DisruptionTarget).Reason).To(Equal("DeletionByPodGC"))
			}
		}
	}, usual)

	It("is let go when its policy is deleted, set to Observe or to hold Termination", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		names := []string{"deleted", "observing", "terminating"}
		for _, name := range names {
			ns.Create(ctx, holding(name).Obj())
			ns.AwaitCondition(ctx, name, v1alpha1.ConditionReady, metav1.ConditionTrue)
			ns.Create(ctx, sessionPod(name).Grace(60).Label("all", "yes").Obj())
		}
		ns.Create(ctx, sessionPod("stays").Label("app", "deleted").Obj())
		for _, name := range append(names, "stays") {
			ns.AwaitReady(ctx, name)
		}
		var sessions []*framework.Session
		drains := map[string]*framework.Drains{}
		for _, name := range names {
			ns.AwaitHolding(ctx, name, name)
			sessions = append(sessions, ns.Session(ctx, name, 25*time.Second))
			drains[name] = ns.WatchDrains(ctx, name)
		}
		ns.DeleteHeld(ctx, names...)

		edit := func(name string, change func(*v1alpha1.DrainPolicySpec)) {
			framework.Change(ctx, ns, name, &v1alpha1.DrainPolicy{}, func(p *v1alpha1.DrainPolicy) { change(&p.Spec) })
		}
		edited := time.Now()
		ns.Delete(ctx, holding("deleted").Obj())
		edit("observing", func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })
		edit("terminating", func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination })

		ns.AwaitTerminating(ctx, names...)
		AddReportEntry("released", fmt.Sprintf("all within %s of the edits", framework.Since(edited)))
		Expect(framework.Since(edited)).To(BeNumerically("<", 2*busyMachine))
		framework.ExpectWhole(ctx, sessions) // their hooks hold them
		for _, name := range names {
			drains[name].AwaitEnd(ctx).App().ExpectDrained()
		}
		stays := framework.Get(ctx, ns, "stays", &corev1.Pod{})
		Expect(framework.Ready(stays)).To(BeTrue())
		Expect(stays.DeletionTimestamp).To(BeNil())
		Expect(ns.TryDelete(ctx, "stays")).To(Succeed(), "nothing holds it any more")
	}, usual)

	It("does not keep a namespace from going", func(ctx SpecContext) {
		n, err := strconv.Atoi(cmp.Or(os.Getenv("HELD_PODS"), "20"))
		Expect(err).NotTo(HaveOccurred())
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, holding("web").MaxHold(2))
		deployment := framework.Pod("web").Status("busy").Deployment(int32(n))
		ns.Deploy(ctx, deployment)
		names := framework.Names(ns.Pods(ctx, "web"))
		ns.AwaitHolding(ctx, "web", names[0])
		ns.Scale(ctx, "web", 0)
		ns.AwaitHeld(ctx, "web", n)

		began := time.Now()
		Expect(env.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metaOf(ns.Name)})).To(Succeed())

		Eventually(func() bool {
			_, err := env.Kube.CoreV1().Namespaces().Get(ctx, ns.Name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		}).WithContext(ctx).WithTimeout(2 * time.Minute).WithPolling(200 * time.Millisecond).Should(BeTrue())
		AddReportEntry("namespace", fmt.Sprintf("with %d held pods gone after %s", n, framework.Since(began)))
	}, usual)
})
