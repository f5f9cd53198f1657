package framework

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// StatefulSet is one of such pods, named as they are.
func (b *PodBuilder) StatefulSet(replicas int32, management appsv1.PodManagementPolicyType) *appsv1.StatefulSet {
	d := b.Deployment(replicas)
	return &appsv1.StatefulSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template, PodManagementPolicy: management,
	}}
}

// DaemonSet is one of such pods on one node.
func (b *PodBuilder) DaemonSet(node string) *appsv1.DaemonSet {
	d := b.Deployment(1)
	d.Spec.Template.Spec.NodeSelector = map[string]string{corev1.LabelHostname: node}
	return &appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
}

// ReplicaSet is one of such pods that nobody owns.
func (b *PodBuilder) ReplicaSet(replicas int32) *appsv1.ReplicaSet {
	d := b.Deployment(replicas)
	return &appsv1.ReplicaSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.ReplicaSetSpec{
		Replicas: &replicas, Selector: d.Spec.Selector, Template: d.Spec.Template,
	}}
}

// AwaitPodsReady waits until as many pods labelled app: name are ready, and
// returns them.
func (n *Namespace) AwaitPodsReady(ctx context.Context, name string, want int) (pods []corev1.Pod) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		pods = n.Pods(ctx, name)
		g.Expect(pods).To(HaveLen(want))
		for i := range pods {
			g.Expect(Ready(&pods[i])).To(BeTrue(), "%s: %v", pods[i].Name, pods[i].Status.Conditions)
		}
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return pods
}

// AwaitHeld waits until so many pods labelled app: name are asked to end and
// refused, and returns their names.
func (n *Namespace) AwaitHeld(ctx context.Context, name string, want int) (held []string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		held = nil
		for _, pod := range n.Pods(ctx, name) {
			if ConditionOf(&pod, v1alpha1.PodDeletionRequested).Status == corev1.ConditionTrue {
				held = append(held, pod.Name)
			}
		}
		g.Expect(held).To(HaveLen(want))
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return held
}
