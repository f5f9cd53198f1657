package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// haveCondition matches a status.
func haveCondition(conditionType string, status metav1.ConditionStatus, reason string) gomegatypes.GomegaMatcher {
	return HaveField("Conditions", ContainElement(And(
		HaveField("Type", conditionType), HaveField("Status", status), HaveField("Reason", reason),
	)))
}

var _ = Describe("A policy", func() {
	It("gets its status from the pods that there are", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		leader := startReplica(ctx, namespace)
		Eventually(leader.elected).WithTimeout(soon).Should(BeClosed())
		web := newPolicy(ctx, namespace)
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("ObservedGeneration", int64(1)),
			haveCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNotInjected), // no webhook here
			haveCondition(v1alpha1.ConditionPodsInjected, metav1.ConditionTrue, v1alpha1.ReasonNoPods),
		))

		By("creating a pod with its settings, and one that opted out")
		injectedPod(ctx, namespace, "injected")
		Expect(api.Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "out", Labels: map[string]string{"app": "web"},
				Annotations: map[string]string{v1alpha1.AnnotationInject: "false"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
		})).To(Succeed())
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("Pods", int32(2)), HaveField("Injected", int32(1)), HaveField("Outdated", int32(0)),
			HaveField("Skipped", []v1alpha1.SkippedPods{{Reason: string(plan.ExcludedOptedOut), Pods: 1}}),
			haveCondition(v1alpha1.ConditionPodsInjected, metav1.ConditionTrue, v1alpha1.ReasonPodsSkipped),
		))

		By("editing the policy")
		patch := client.MergeFrom(web.DeepCopy())
		web.Spec.PreStop.PropagationSeconds = ptr.To(int32(7))
		Expect(api.Patch(ctx, web, patch)).To(Succeed())
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("ObservedGeneration", int64(2)), HaveField("Outdated", int32(1)),
			haveCondition(v1alpha1.ConditionPodsInjected, metav1.ConditionFalse, v1alpha1.ReasonOlderPods),
		))

		By("adding a policy that selects more closely")
		closer := &v1alpha1.DrainPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "closer"}, Spec: v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}, MatchExpressions: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpExists}}},
		}}
		Expect(api.Create(ctx, closer)).To(Succeed())
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("Pods", int32(0)),
			haveCondition(v1alpha1.ConditionConflicting, metav1.ConditionTrue, v1alpha1.ReasonOutranked),
		))
		Expect(api.Delete(ctx, closer)).To(Succeed())
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("Pods", int32(2)),
			haveCondition(v1alpha1.ConditionConflicting, metav1.ConditionFalse, v1alpha1.ReasonNoConflict),
		))
		Eventually(reasonsOf(ctx, namespace)).WithTimeout(soon).Should(ContainElements(v1alpha1.ReasonOutranked, v1alpha1.ReasonNoConflict, v1alpha1.ReasonNotInjected))
	}, SpecTimeout(3*time.Minute))

	It("says that the agent cannot be had, and forgets its metrics when it goes", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		leader := startReplica(ctx, namespace)
		Eventually(leader.elected).WithTimeout(soon).Should(BeClosed())
		web := newPolicy(ctx, namespace)
		stuck := injectedPod(ctx, namespace, "stuck-0")
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(
			haveCondition(v1alpha1.ConditionAgentInstallable, metav1.ConditionTrue, v1alpha1.ReasonInstallable))

		stuckPod(ctx, namespace, "stuck-1")
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(
			haveCondition(v1alpha1.ConditionAgentInstallable, metav1.ConditionFalse, v1alpha1.ReasonImagePull))
		Eventually(reasonsOf(ctx, namespace)).WithTimeout(soon).Should(ContainElement(v1alpha1.ReasonImagePull))

		beginDrain(ctx, stuck)
		endDrain(ctx, stuck, hold.OutcomeUnknown)
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(
			haveCondition(v1alpha1.ConditionDrainStatusReachable, metav1.ConditionFalse, v1alpha1.ReasonStatusFailed))
		Eventually(leader.series(namespace)).WithTimeout(soon).Should(ContainElements(
			"drain_operator_drains_total", "drain_operator_drain_duration_seconds", "drain_operator_draining_pods"))
		Expect(api.Delete(ctx, web)).To(Succeed())
		Eventually(leader.series(namespace)).WithTimeout(soon).Should(BeEmpty())
	}, SpecTimeout(3*time.Minute))
})

// stuckPod is an injected pod whose agent image has not been pulled for two minutes.
func stuckPod(ctx context.Context, namespace, name string) {
	GinkgoHelper()
	command, err := hold.Spec{Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained, BoundSeconds: 25}.Command()
	Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"app": "web", v1alpha1.LabelInjected: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationInjectedBy: "web/1"},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1",
			Containers: []corev1.Container{{
				Name: "app", Image: "example.com/app",
				Lifecycle:    &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}},
				VolumeMounts: []corev1.VolumeMount{{Name: plan.VolumeName, MountPath: hold.AgentDir}},
			}},
			Volumes: []corev1.Volume{{Name: plan.VolumeName, VolumeSource: corev1.VolumeSource{
				Image: &corev1.ImageVolumeSource{Reference: agentImage}}}},
		},
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{
		Phase:     corev1.PodPending,
		StartTime: ptr.To(metav1.NewTime(time.Now().Add(-2 * time.Minute))),
		ContainerStatuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "ImagePullBackOff", Message: `Back-off pulling image "` + agentImage + `"`}}}},
	}
	Expect(api.Status().Update(ctx, pod)).To(Succeed())
}

// reasonsOf are the reasons of the events of a namespace.
func reasonsOf(ctx context.Context, namespace string) func(Gomega) []string {
	return func(g Gomega) []string {
		list := &eventsv1.EventList{}
		g.Expect(api.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		var reasons []string
		for _, e := range list.Items {
			reasons = append(reasons, e.Reason)
		}
		return reasons
	}
}

// series are the names of the metrics that a replica has about a namespace.
// Policies of other specs are still there.
func (r *replica) series(namespace string) func(Gomega) []string {
	return func(g Gomega) []string {
		families, err := r.metrics.Gather()
		g.Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, family := range families {
			for _, metric := range family.Metric {
				for _, label := range metric.Label {
					if label.GetName() == "namespace" && label.GetValue() == namespace {
						names = append(names, family.GetName())
					}
				}
			}
		}
		return names
	}
}
