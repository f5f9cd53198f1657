package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

// holding is a policy under which the pods labelled app: name are held until
// they have drained, for longer than any session here.
func holding(name string) *framework.PolicyBuilder {
	return framework.Policy(name).Propagation(1, 3).HoldDeletion(300)
}

// sessionPod is one that says what it owes, whose grace is shorter than its
// sessions.
func sessionPod(name string) *framework.PodBuilder {
	return framework.Pod(name).Status("ok").Grace(sessionGrace)
}

const (
	sessionGrace = 10
	// endless is a session that a spec ends itself.
	endless = 280 * time.Second
)

// draining is what a pod says of itself.
func draining(ctx SpecContext, ns *framework.Namespace, pod string) string {
	GinkgoHelper()
	status, err := ns.Call(ctx, pod, framework.StatusPort, "drain-status")
	Expect(err).NotTo(HaveOccurred())
	return status
}

var _ = Describe("Under hold Deletion", func() {
	// It waits long, and begins early.
	It("10 replicas roll out with 10 serving all the time, and sessions outlive the grace", SpecPriority(1), func(ctx SpecContext) {
		const replicas, session = 10, 28 * time.Second
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, holding("web"))
		deployment := sessionPod("web").Deployment(replicas)
		deployment.Spec.Strategy.RollingUpdate.MaxSurge = ptr.To(intstr.FromInt32(replicas / 2))
		ns.Deploy(ctx, deployment)
		traffic := ns.StartLoad(ctx, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
		old := framework.Names(ns.Pods(ctx, "web"))
		ns.AwaitHolding(ctx, "web", old[0])
		serving, holds, drains := ns.WatchEndpoints(ctx, "web", replicas), ns.WatchHolds(ctx, "web"), ns.WatchDrains(ctx, "web")
		sessions := ns.Sessions(ctx, session, old...)

		began := time.Now()
		for _, args := range [][]string{{"rollout", "restart", "deployment/web"}, {"rollout", "status", "deployment/web", "--timeout=170s"}} {
			out, err := env.Kubectl(ctx, append(args, "-n", ns.Name)...)
			Expect(err).NotTo(HaveOccurred(), out)
		}
		took := framework.Since(began)

		framework.ExpectWhole(ctx, sessions)
		for _, d := range drains.AwaitEnds(ctx, replicas) {
			d.App().ExpectNothingCut()
		}
		framework.ExpectNothingDropped(traffic.Finish(ctx), 200)
		least, at := serving.Least()
		Expect(least).To(BeNumerically(">=", replicas), "pods in rotation at %s", at.Format("15:04:05.000"))
		var longest time.Duration
		for _, h := range holds.All() {
			Expect(old).To(ContainElement(h.Name), "only old pods are asked to end")
			longest = max(longest, h.Released.Sub(h.Refused))
		}
		Expect(holds.All()).To(HaveLen(replicas), "each was held")
		Expect(longest).To(BeNumerically(">", sessionGrace*time.Second), "sessions outlived the grace")
		AddReportEntry("rollout", fmt.Sprintf("10 replicas in %s, least ready %d, longest hold %s", took, least, longest))
	}, slow)

	It("a scale-down that is taken back puts its pods into rotation again", func(ctx SpecContext) {
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, holding("web"))
		ns.Deploy(ctx, sessionPod("web").Deployment(4))
		ns.Service(ctx, "web", framework.WorkPort)
		before := ns.Pods(ctx, "web")
		ns.AwaitHolding(ctx, "web", before[0].Name)
		sessions := map[string]*framework.Session{}
		for _, pod := range before {
			sessions[pod.Name] = ns.Session(ctx, pod.Name, endless)
		}
		ns.WatchEndpoints(ctx, "web", 4)
		drains := ns.WatchDrains(ctx, "web")

		ns.Scale(ctx, "web", 2)
		held := ns.AwaitHeld(ctx, "web", 2)
		for _, name := range held {
			ns.AwaitOutOfRotation(ctx, name)
			Eventually(func() string { return draining(ctx, ns, name) }).WithContext(ctx).WithTimeout(busyMachine).
				Should(ContainSubstring(`"draining":true`))
		}
		ns.WatchEndpoints(ctx, "web", 2)

		ns.Scale(ctx, "web", 4)
		back := time.Now()
		ns.WatchEndpoints(ctx, "web", 4)
		AddReportEntry("taken back", fmt.Sprintf("in rotation again after %s", framework.Since(back)))
		for _, name := range held {
			ns.AwaitPod(ctx, name, func(g Gomega, p *corev1.Pod) {
				g.Expect(framework.Ready(p)).To(BeTrue())
				g.Expect(framework.ConditionOf(p, v1alpha1.PodDeletionRequested).Status).NotTo(Equal(corev1.ConditionTrue))
			})
			Eventually(func() string { return draining(ctx, ns, name) }).WithContext(ctx).WithTimeout(busyMachine).
				Should(ContainSubstring(`"draining":false`))
			AddReportEntry("events", ns.ExpectEvents(ctx, name, framework.EventHeld, framework.EventTakenBack))
		}
		Expect(framework.Names(ns.Pods(ctx, "web"))).To(ConsistOf(framework.Names(before)))
		Expect(append(drains.Draining(), drains.Ended()...)).To(BeEmpty(), "nothing was deleted")
		ns.AwaitPolicy(ctx, "web", func(g Gomega, p *v1alpha1.DrainPolicy) { g.Expect(p.Status.Held).To(BeZero()) })

		By("scaling down for good")
		ns.Scale(ctx, "web", 3)
		goes := ns.AwaitHeld(ctx, "web", 1)[0]
		ns.AwaitOutOfRotation(ctx, goes)
		for _, s := range sessions {
			s.ExpectUnderWay()
		}
		sessions[goes].End()
		end := drains.AwaitEnd(ctx)
		Expect(end.Pod.Name).To(Equal(goes))
		end.App().ExpectDrained()
	}, usual)

	It("StatefulSets, a DaemonSet and a bare ReplicaSet let each pod go when it has drained", func(ctx SpecContext) {
		const session = 14 * time.Second
		ns := env.NewNamespace(ctx, nil)
		ns.Apply(ctx, holding("all").With(func(s *v1alpha1.DrainPolicySpec) { s.Selector.MatchLabels = map[string]string{"holding": "yes"} }))
		app := func(name string) *framework.PodBuilder { return sessionPod(name).Label("holding", "yes") }
		node := env.Leader(ctx).Spec.NodeName
		ns.Create(ctx, app("ordered").StatefulSet(2, appsv1.OrderedReadyPodManagement))
		ns.Create(ctx, app("parallel").StatefulSet(2, appsv1.ParallelPodManagement))
		ns.Create(ctx, app("daemon").DaemonSet(node))
		ns.Create(ctx, app("bare").ReplicaSet(2))
		sets := map[string]int{"ordered": 2, "parallel": 2, "daemon": 1, "bare": 2}
		var old []string
		for name, n := range sets {
			old = append(old, framework.Names(ns.AwaitPodsReady(ctx, name, n))...)
		}
		ns.AwaitHolding(ctx, "all", old[0])
		sessions := map[string]*framework.Session{}
		for _, name := range old {
			sessions[name] = ns.Session(ctx, name, session)
		}
		drains, holds := map[string]*framework.Drains{}, map[string]*framework.Holds{}
		for name := range sets {
			drains[name], holds[name] = ns.WatchDrains(ctx, name), ns.WatchHolds(ctx, name)
		}

		began := time.Now()
		for _, what := range []string{"statefulset/ordered", "statefulset/parallel", "daemonset/daemon"} {
			out, err := env.Kubectl(ctx, "rollout", "restart", what, "-n", ns.Name)
			Expect(err).NotTo(HaveOccurred(), out)
		}
		framework.Change(ctx, ns, "bare", &appsv1.ReplicaSet{}, func(rs *appsv1.ReplicaSet) { rs.Spec.Replicas = ptr.To[int32](1) })
		for _, what := range []string{"statefulset/ordered", "statefulset/parallel", "daemonset/daemon"} {
			out, err := env.Kubectl(ctx, "rollout", "status", what, "-n", ns.Name, "--timeout=150s")
			Expect(err).NotTo(HaveOccurred(), out)
			AddReportEntry(what, framework.Since(began).String())
		}

		for _, s := range sessions {
			s.ExpectWhole(ctx)
		}
		sets["bare"] = 1
		for name, n := range sets {
			for _, d := range drains[name].AwaitEnds(ctx, n) {
				By(d.Pod.Name)
				d.App().ExpectNothingCut()
				Expect(holds[name].All()).To(ContainElement(HaveField("Name", d.Pod.Name)), "it was held")
			}
		}

		By("deleting the ReplicaSet")
		last := ns.Pods(ctx, "bare")
		Expect(last).To(HaveLen(1))
		final := ns.Session(ctx, last[0].Name, endless)
		ns.Delete(ctx, &appsv1.ReplicaSet{ObjectMeta: metaOf("bare")})
		ns.AwaitOutOfRotation(ctx, last[0].Name)
		final.End()
		drains["bare"].AwaitEnds(ctx, 2)[1].App().ExpectNothingCut()
	}, slow)
})

// Metrics of holds.
const (
	heldGauge       = "drain_operator_held_pods"
	endsCounter     = "drain_operator_holds_total"
	refusalsCounter = "drain_operator_gate_requests_total"
)
