package security

import (
	"context"
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// What the operator may do with pods is more than RBAC can bound: these are the
// bounds of its admission policy. Pods here have a node, so that their deletion
// takes time, and no kubelet.
var _ = Describe("The operator, of pods,", func() {
	type pods = *corev1.Pod

	// aPod with the readiness gate or without, and with these conditions.
	aPod := func(ctx context.Context, gated bool, conditions ...corev1.PodCondition) pods {
		GinkgoHelper()
		pod := newPod("default")
		pod.Labels[v1alpha1.LabelInjected] = "true"
		pod.Spec.NodeName = "nowhere"
		if gated {
			pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
		}
		Expect(env.Client.Create(ctx, pod)).To(Succeed())
		DeferCleanup(func(ctx context.Context) {
			Expect(client.IgnoreNotFound(env.Client.Delete(ctx, pod, client.GracePeriodSeconds(0)))).To(Succeed())
		})
		pod.Status.Conditions = conditions
		pod.Status.PodIP, pod.Status.Phase = "10.0.0.1", corev1.PodRunning
		Expect(env.Client.Status().Update(ctx, pod)).To(Succeed())
		return pod
	}
	wish := func(status corev1.ConditionStatus) corev1.PodCondition {
		return corev1.PodCondition{Type: v1alpha1.PodDeletionRequested, Status: status}
	}
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	byUID := func(pod pods) client.DeleteOption { return client.Preconditions{UID: &pod.UID} }
	denied := func(why string) OmegaMatcher { return MatchError(ContainSubstring(why)) }

	// The policy is not in force at once.
	BeforeEach(func(ctx context.Context) {
		pod := aPod(ctx, false)
		Eventually(func() error { return operator().Delete(ctx, pod, client.DryRunAll) }).Should(HaveOccurred())
	})

	It("deletes those whose deletion was asked for and held, by their UID", func(ctx context.Context) {
		for _, pod := range []pods{aPod(ctx, false, wish("True")), aPod(ctx, true, ready), aPod(ctx, true, wish("False"))} {
			Expect(operator().Delete(ctx, pod, byUID(pod))).To(denied("the operator deletes only pods whose deletion was asked for and held"))
			Expect(operator().Delete(ctx, pod, byUID(pod), client.GracePeriodSeconds(0))).To(denied("asked for and held"))
			Expect(env.Client.Delete(ctx, pod)).To(Succeed(), "nobody else is concerned")
		}
		pod := aPod(ctx, true, ready, wish("True"))
		Expect(operator().Delete(ctx, pod)).To(denied("the operator deletes pods by their UID only"))
		Expect(operator().Delete(ctx, pod, byUID(pod))).To(Succeed())
		Expect(env.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		Expect(pod.DeletionTimestamp).NotTo(BeNil())
	})

	It("deletes no collection", func(ctx context.Context) {
		Expect(operator().DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace("default"))).To(forbidden)
	})

	// An Eviction comes without its pod: which one it is, no policy can see.
	It("evicts by UID only", func(ctx context.Context) {
		pod := aPod(ctx, false)
		evict := func(c client.Client, options *metav1.DeleteOptions) error {
			return c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{DeleteOptions: options})
		}
		Expect(evict(operator(), nil)).To(denied("the operator evicts pods by their UID only"))
		Expect(evict(operator(), &metav1.DeleteOptions{})).To(denied("by their UID only"))
		Expect(evict(operator(), &metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(pod.UID))})).To(Succeed())
		Expect(evict(env.Client, nil)).To(Succeed(), "nobody else is concerned")
	})

	DescribeTable("writes to the status", func(ctx context.Context, gated bool, patch map[string]any, why string) {
		pod := aPod(ctx, gated, ready, wish("True"))
		content, err := json.Marshal(patch)
		Expect(err).NotTo(HaveOccurred())
		err = operator().Status().Patch(ctx, pod.DeepCopy(), client.RawPatch(types.StrategicMergePatchType, content))
		if why == "" {
			Expect(err).NotTo(HaveOccurred())
			return
		}
		Expect(err).To(denied(why))
		Expect(env.Client.Status().Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, content))).To(Succeed(), "nobody else is concerned")
	},
		Entry("its own conditions", true, conditions(v1alpha1.PodInRotation, "False"), ""),
		Entry("one that is there", true, conditions(v1alpha1.PodDeletionRequested, "False"), ""),
		Entry("but not of other pods", false, conditions(v1alpha1.PodDeletionRequested, "True"), "pods with its readiness gate only"),
		Entry("but no other condition", true, conditions("Ready", "False"), "no conditions of pods but its own"),
		Entry("but no new one", true, conditions("example.com/other", "True"), "no conditions of pods but its own"),
		Entry("and takes none away", true, map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": "Ready", "$patch": "delete"}}}}, "no conditions of pods but its own"),
		Entry("but no address", true, map[string]any{"status": map[string]any{"podIP": "10.0.0.2"}}, "nothing to a pod's status but conditions"),
		Entry("but no phase", true, map[string]any{"status": map[string]any{"phase": "Failed"}}, "nothing to a pod's status but conditions"),
		Entry("but no container's end", true, map[string]any{"status": map[string]any{"containerStatuses": []any{map[string]any{"name": "app", "image": "", "imageID": "", "restartCount": 1, "ready": false}}}}, "nothing to a pod's status but conditions"),
		Entry("and no label by the way", true, map[string]any{"metadata": map[string]any{"labels": map[string]any{"app": "other"}}}, "nothing to pods but conditions"),
		Entry("and no annotation", true, map[string]any{"metadata": map[string]any{"annotations": map[string]any{"a": "b"}}}, "nothing to pods but conditions"),
	)
})

// conditions is a patch that sets one.
func conditions(conditionType, status string) map[string]any {
	return map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"type": conditionType, "status": status}}}}
}
