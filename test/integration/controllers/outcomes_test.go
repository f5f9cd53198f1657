package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// What the API server makes of deletions and graces is its own affair: these
// outcomes depend on it.
var _ = Describe("Outcomes", func() {
	var (
		namespace string
		policy    *v1alpha1.DrainPolicy
	)
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		leader := startReplica(context.Background(), namespace)
		Eventually(leader.elected).WithTimeout(soon).Should(BeClosed())
		policy = newPolicy(ctx, namespace)
	}, NodeTimeout(2*time.Minute))

	// outcome is how the only drain ended.
	outcome := func(ctx context.Context) v1alpha1.DrainRecord {
		GinkgoHelper()
		var status v1alpha1.DrainPolicyStatus
		Eventually(func(g Gomega) {
			status = statusOf(ctx, policy)(g)
			g.Expect(status.RecentDrains).To(HaveLen(1))
		}).WithTimeout(soon).Should(Succeed())
		return status.RecentDrains[0]
	}

	// after ends a pod as the kubelet does, so many seconds after its deletion.
	after := func(ctx context.Context, pod *corev1.Pod, seconds int, exitCode int32) {
		GinkgoHelper()
		Expect(api.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		deleted := pod.DeletionTimestamp.Add(-time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second)
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: exitCode, StartedAt: pod.CreationTimestamp, FinishedAt: metav1.NewTime(deleted.Add(time.Duration(seconds) * time.Second)),
		}}
		Expect(api.Status().Update(ctx, pod)).To(Succeed())
		Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
	}

	It("says that the grace was spent", func(ctx SpecContext) {
		pod := injectedPod(ctx, namespace, "web")
		beginDrain(ctx, pod)
		after(ctx, pod, 30, 137)
		Expect(outcome(ctx)).To(And(HaveField("Outcome", v1alpha1.OutcomeForced), HaveField("Cause", v1alpha1.CauseGraceSpent),
			HaveField("DurationSeconds", int32(30))))
	}, SpecTimeout(2*time.Minute))

	It("says that a shorter grace was asked for, at first or later", func(ctx SpecContext) {
		pod := injectedPod(ctx, namespace, "web")
		beginDrain(ctx, pod)
		Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(5))).To(Succeed())
		after(ctx, pod, 5, 143)
		Expect(outcome(ctx)).To(And(HaveField("Outcome", v1alpha1.OutcomeForced), HaveField("Cause", v1alpha1.CauseShorterGrace),
			HaveField("DurationSeconds", int32(5))))
	}, SpecTimeout(2*time.Minute))

	It("says that the object was taken away", func(ctx SpecContext) {
		pod := injectedPod(ctx, namespace, "web")
		Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Expect(outcome(ctx)).To(And(HaveField("Outcome", v1alpha1.OutcomeForced), HaveField("Cause", v1alpha1.CauseForceDeleted)))
	}, SpecTimeout(2*time.Minute))

	It("says that the same happened in the midst of a drain", func(ctx SpecContext) {
		pod := injectedPod(ctx, namespace, "web")
		beginDrain(ctx, pod)
		Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0))).To(Succeed())
		Expect(outcome(ctx)).To(And(HaveField("Outcome", v1alpha1.OutcomeForced), HaveField("Cause", v1alpha1.CauseForceDeleted)))
	}, SpecTimeout(2*time.Minute))

	It("says that the hook failed", func(ctx SpecContext) {
		pod := injectedPod(ctx, namespace, "web")
		beginDrain(ctx, pod)
		Eventually(statusOf(ctx, policy)).WithTimeout(soon).Should(HaveField("Draining", int32(1)))
		Expect(api.Create(ctx, &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web.1"},
			InvolvedObject: corev1.ObjectReference{
				Kind: "Pod", APIVersion: "v1", Namespace: namespace, Name: "web", UID: pod.UID, FieldPath: "spec.containers{app}",
			},
			Reason: "FailedPreStopHook", Message: "PreStopHook failed", Type: corev1.EventTypeWarning,
			FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Count: 1,
		})).To(Succeed())
		// The two come by different watches, in the kubelet's case a process
		// start apart: here a write to the policy's status separates them.
		patch := client.MergeFrom(policy.DeepCopy())
		policy.Spec.Mode = v1alpha1.ModeObserve
		Expect(api.Patch(ctx, policy, patch)).To(Succeed())
		Eventually(statusOf(ctx, policy)).WithTimeout(soon).Should(HaveField("ObservedGeneration", int64(2)))
		after(ctx, pod, 1, 0)
		Expect(outcome(ctx)).To(And(HaveField("Outcome", v1alpha1.OutcomeSkipped), HaveField("Cause", v1alpha1.CauseHookFailed)))
	}, SpecTimeout(2*time.Minute))
})
