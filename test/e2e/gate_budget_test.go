package e2e

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

var _ = Describe("A disruption budget of n-1", func() {
	It("sees held pods leave one at a time, whether they are evicted or deleted", func(ctx SpecContext) {
		const replicas, session = 3, 12 * time.Second
		ns := env.NewNamespace(ctx, nil)
		asks := map[string]func(pod string) error{
			"evicted": func(pod string) error { return ns.TryEvict(ctx, pod, "v1") },
			"deleted": func(pod string) error { return ns.TryDelete(ctx, pod) },
		}
		for name := range asks {
			ns.Apply(ctx, holding(name))
			ns.Create(ctx, sessionPod(name).Deployment(replicas))
		}
		holds, drains, two := map[string]*framework.Holds{}, map[string]*framework.Drains{}, map[string][]string{}
		var sessions []*framework.Session
		for name := range asks {
			pods := framework.Names(ns.AwaitPodsReady(ctx, name, replicas))
			two[name] = pods[:2]
			ns.AwaitHolding(ctx, name, pods[0])
			ns.Budget(ctx, name, replicas-1)
			sessions = append(sessions, ns.Sessions(ctx, session, pods...)...)
			holds[name], drains[name] = ns.WatchHolds(ctx, name), ns.WatchDrains(ctx, name)
		}

		began := time.Now()
		for name, ask := range asks {
			for _, pod := range two[name] {
				framework.ExpectRefused(ask(pod))
			}
		}

		framework.ExpectWhole(ctx, sessions)
		for name := range asks {
			By(name)
			for _, d := range drains[name].AwaitEnds(ctx, 2) {
				Expect(two[name]).To(ContainElement(d.Pod.Name))
				d.App().ExpectDrained()
				if name == "evicted" {
					Expect(framework.ConditionOf(d.Pod, corev1.DisruptionTarget).Reason).To(Equal("EvictionByEvictionAPI"), "its budget allowed it")
				}
			}
			AddReportEntry(name, fmt.Sprintf("both gone %s after they were asked", framework.Since(began)))
			ns.AwaitPodsReady(ctx, name, replicas)
			least, at := holds[name].Least()
			Expect(least).To(BeNumerically(">=", replicas-1), "ready pods at %s", at.Format("15:04:05.000"))
			all := holds[name].All()
			Expect(all).To(HaveLen(2))
			var reasons []string
			for _, h := range all {
				reasons = append(reasons, h.Reasons...)
			}
			Expect(reasons).To(ContainElement(ContainSubstring(string(v1alpha1.WaitingForBudget))), "one waited for the other")
		}
	}, usual)
})

var _ = Describe("A hold", func() {
	It("of a session that never ends, or of a status that died, ends at its bound", func(ctx SpecContext) {
		const bound = 15 * time.Second
		ns := env.NewNamespace(ctx, nil)
		policy := func(name string, then v1alpha1.OnStatusFailure) *framework.PolicyBuilder {
			return framework.Policy(name).Propagation(1, 2).HoldDeletion(int32(bound.Seconds())).MaxHold(4).OnStatusFailure(then)
		}
		pods := map[string]string{"endless": "holds", "dead-holds": "holds", "dead-releases": "releases"}
		ns.Create(ctx, policy("holds", v1alpha1.OnStatusFailureHold).Obj(), policy("releases", v1alpha1.OnStatusFailureRelease).Obj())
		for _, name := range []string{"holds", "releases"} {
			ns.AwaitCondition(ctx, name, v1alpha1.ConditionReady, metav1.ConditionTrue)
		}
		for name, policy := range pods {
			ns.Create(ctx, sessionPod(name).Label("app", policy).Obj())
		}
		for name, policy := range pods {
			ns.AwaitReady(ctx, name)
			ns.AwaitHolding(ctx, policy, name)
		}
		drains := map[string]*framework.Drains{"holds": ns.WatchDrains(ctx, "holds"), "releases": ns.WatchDrains(ctx, "releases")}
		session := ns.Session(ctx, "endless", endless)

		asked := time.Now()
		for name := range pods {
			framework.ExpectRefused(ns.TryDelete(ctx, name))
		}
		ns.Say(ctx, "dead-holds", "hang")
		ns.Say(ctx, "dead-releases", "http500")

		released := drains["releases"].AwaitEnd(ctx)
		Expect(released.Asked.Sub(asked)).To(BeNumerically("<", bound), "a status that cannot be read releases")
		released.App().ExpectNothingCut()
		for _, d := range drains["holds"].AwaitEnds(ctx, 2) {
			held := d.Asked.Sub(asked)
			AddReportEntry(d.Pod.Name, fmt.Sprintf("let go after %s", held))
			Expect(held).To(And(BeNumerically(">=", bound-2*time.Second), BeNumerically("<", bound+busyMachine)))
			AddReportEntry("events", ns.ExpectEvents(ctx, d.Pod.Name, framework.EventHeld, framework.EventGivenUp))
		}
		AddReportEntry("events", ns.ExpectEvents(ctx, released.Pod.Name, framework.EventHeld, framework.EventGivenUp))
		session.End()
		ends := ns.OperatorMetrics(ctx)
		for end, policy := range map[drain.HoldEnd]string{drain.EndBound: "holds", drain.EndStatus: "releases"} {
			Expect(ends.Sum(endsCounter, map[string]string{"namespace": ns.Name, "policy": policy, "end": string(end)})).
				To(BeNumerically(">=", 1), ends.Text(endsCounter))
		}
	}, usual)
})
