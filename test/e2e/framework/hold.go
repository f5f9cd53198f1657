package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// HoldDeletion refuses deletions and evictions until the workload, which is
// told that it drains, says that it has; for so many seconds at most.
func (b *PolicyBuilder) HoldDeletion(maxHoldSeconds int32) *PolicyBuilder {
	b.HTTP(v1alpha1.DrainedWhenBody).Notify()
	b.policy.Spec.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: maxHoldSeconds}
	return b
}

// OnStatusFailure says what becomes of a held pod whose status cannot be read.
func (b *PolicyBuilder) OnStatusFailure(then v1alpha1.OnStatusFailure) *PolicyBuilder {
	b.policy.Spec.Gate.OnStatusFailure = then
	return b
}

// AwaitHolding waits until the hold Deletion of a policy is in effect for a
// pod: deletions that are not carried out anyway are refused, several in a row.
func (n *Namespace) AwaitHolding(ctx context.Context, policy, pod string) {
	GinkgoHelper()
	n.AwaitCondition(ctx, policy, v1alpha1.ConditionDrainStatusReachable, metav1.ConditionTrue)
	Eventually(func(g Gomega) {
		for range 3 {
			g.Expect(apierrors.IsTooManyRequests(n.TryDelete(ctx, pod, client.DryRunAll))).To(BeTrue())
		}
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
}

// TryDelete asks for a pod's deletion and returns what the API server says.
func (n *Namespace) TryDelete(ctx context.Context, pod string, options ...client.DeleteOption) error {
	return n.Client.Delete(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: n.Name, Name: pod}}, options...)
}

// TryEvict asks for a pod's eviction through a version of the group policy.
func (n *Namespace) TryEvict(ctx context.Context, pod, version string) error {
	body := fmt.Sprintf(`{"apiVersion":"policy/%s","kind":"Eviction","metadata":{"namespace":%q,"name":%q}}`, version, n.Name, pod)
	return n.Kube.CoreV1().RESTClient().Post().Namespace(n.Name).Resource("pods").Name(pod).SubResource("eviction").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(ctx).Error()
}

// ExpectRefused fails the spec unless a request was refused until the pod has
// drained, in a way that does not make the caller wait.
func ExpectRefused(err error) {
	GinkgoHelper()
	Expect(err).To(HaveOccurred(), "the request was not refused")
	Expect(apierrors.IsTooManyRequests(err)).To(BeTrue(), "%v", err)
	_, waits := apierrors.SuggestsClientDelay(err)
	Expect(waits).To(BeFalse(), "client-go would block its caller: %v", err)
}

// DeleteHeld asks for the deletion of pods, each of which must be refused, and
// waits until all of them are out of rotation.
func (n *Namespace) DeleteHeld(ctx context.Context, pods ...string) {
	GinkgoHelper()
	for _, pod := range pods {
		ExpectRefused(n.TryDelete(ctx, pod))
	}
	for _, pod := range pods {
		n.AwaitOutOfRotation(ctx, pod)
	}
}

// AwaitOutOfRotation waits until a held pod is not ready any more.
func (n *Namespace) AwaitOutOfRotation(ctx context.Context, pod string) {
	GinkgoHelper()
	n.AwaitPod(ctx, pod, func(g Gomega, p *corev1.Pod) {
		g.Expect(p.DeletionTimestamp).To(BeNil(), "it is held no more")
		g.Expect(ConditionOf(p, v1alpha1.PodDeletionRequested)).To(HaveField("Status", corev1.ConditionTrue))
		g.Expect(ConditionOf(p, v1alpha1.PodInRotation)).To(HaveField("Status", corev1.ConditionFalse))
		g.Expect(Ready(p)).To(BeFalse())
	})
}

// ExpectStillHeld fails the spec unless nothing became of a held pod.
func (n *Namespace) ExpectStillHeld(ctx context.Context, pods ...string) {
	GinkgoHelper()
	for _, name := range pods {
		pod := Get(ctx, n, name, &corev1.Pod{})
		Expect(pod.DeletionTimestamp).To(BeNil(), "%s: %v", name, pod.Status.Conditions)
		Expect(ConditionOf(pod, v1alpha1.PodDeletionRequested)).To(HaveField("Status", corev1.ConditionTrue))
	}
}

// AwaitPod waits until a pod is as expected.
func (n *Namespace) AwaitPod(ctx context.Context, name string, expect func(Gomega, *corev1.Pod)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var pod corev1.Pod
		g.Expect(n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, &pod)).To(Succeed())
		expect(g, &pod)
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}

// AwaitTerminating waits until a pod's deletion was accepted.
func (n *Namespace) AwaitTerminating(ctx context.Context, pods ...string) {
	GinkgoHelper()
	for _, pod := range pods {
		n.AwaitPod(ctx, pod, func(g Gomega, p *corev1.Pod) { g.Expect(p.DeletionTimestamp).NotTo(BeNil()) })
	}
}

// AwaitGone waits until an object of the namespace is not there any more, and
// returns how long that took.
func (n *Namespace) AwaitGone(ctx context.Context, o client.Object) time.Duration {
	GinkgoHelper()
	began := time.Now()
	Eventually(func(g Gomega) {
		err := n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: o.GetName()}, o)
		g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%s is still there, or %v", o.GetName(), err)
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return time.Since(began)
}

// ConditionOf is a condition of a pod; one of no status when it has none.
func ConditionOf(pod *corev1.Pod, conditionType corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == conditionType {
			return c
		}
	}
	return corev1.PodCondition{}
}

// Gated says whether a pod is Ready only while the operator lets it be.
func Gated(pod *corev1.Pod) bool {
	for _, gate := range pod.Spec.ReadinessGates {
		if gate.ConditionType == v1alpha1.PodInRotation {
			return true
		}
	}
	return false
}

// Names are those of pods.
func Names(pods []corev1.Pod) (names []string) {
	for _, pod := range pods {
		names = append(names, pod.Name)
	}
	return names
}

// Budget makes a disruption budget for the pods labelled app: name and waits
// until it allows one disruption.
func (n *Namespace) Budget(ctx context.Context, name string, minAvailable int) {
	GinkgoHelper()
	least := intstr.FromInt(minAvailable)
	n.Create(ctx, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: policyv1.PodDisruptionBudgetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}, MinAvailable: &least,
		},
	})
	Eventually(func() int32 { return Get(ctx, n, name, &policyv1.PodDisruptionBudget{}).Status.DisruptionsAllowed }).
		WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(BeEquivalentTo(1))
}
