package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (n *Namespace) deployment(name string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: n.Name, Name: name}}
}

// Deploy creates a Deployment and waits until all its pods are ready.
func (n *Namespace) Deploy(ctx context.Context, d *appsv1.Deployment) {
	GinkgoHelper()
	n.Create(ctx, d)
	n.AwaitRollout(ctx, d.Name)
}

// Restart makes a rolling restart as kubectl does, and waits until every pod is
// a new one and ready. Old ones may still drain then.
func (n *Namespace) Restart(ctx context.Context, deployment string) {
	GinkgoHelper()
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	Expect(n.Client.Patch(ctx, n.deployment(deployment), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	n.AwaitRollout(ctx, deployment)
}

// AwaitRollout waits until a Deployment has the pods that it asks for.
func (n *Namespace) AwaitRollout(ctx context.Context, name string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		d := n.deployment(name)
		g.Expect(n.Client.Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
		g.Expect(d.Status.ObservedGeneration).To(Equal(d.Generation))
		g.Expect([]int32{d.Status.UpdatedReplicas, d.Status.ReadyReplicas, d.Status.Replicas}).
			To(HaveEach(*d.Spec.Replicas), "updated, ready, all: %v", d.Status.Conditions)
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}

// Pods are the pods labelled app: name that are not terminating.
func (n *Namespace) Pods(ctx context.Context, name string) []corev1.Pod {
	GinkgoHelper()
	var list corev1.PodList
	Expect(n.Client.List(ctx, &list, client.InNamespace(n.Name), client.MatchingLabels{"app": name})).To(Succeed())
	var alive []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil {
			alive = append(alive, pod)
		}
	}
	return alive
}

// Run creates a pod and waits until it is ready. It returns the pod as it is then.
func (n *Namespace) Run(ctx context.Context, b *PodBuilder) *corev1.Pod {
	GinkgoHelper()
	pod := b.Obj()
	n.Create(ctx, pod)
	return n.AwaitReady(ctx, pod.Name)
}

// WouldBe is the pod that the API server would store, after all webhooks.
func (n *Namespace) WouldBe(ctx context.Context, b *PodBuilder) *corev1.Pod {
	GinkgoHelper()
	pod := b.Obj()
	pod.Namespace = n.Name
	Expect(n.Client.Create(ctx, pod, client.DryRunAll)).To(Succeed())
	return pod
}

// AwaitInjection waits until new pods are injected, or are not any more.
func (n *Namespace) AwaitInjection(ctx context.Context, b *PodBuilder, injected bool) {
	GinkgoHelper()
	Eventually(func() bool { return Injected(n.WouldBe(ctx, b)) }).
		WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Equal(injected))
}

// AwaitReady waits until a pod is ready.
func (n *Namespace) AwaitReady(ctx context.Context, name string) *corev1.Pod {
	GinkgoHelper()
	var pod corev1.Pod
	Eventually(func(g Gomega) {
		g.Expect(n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, &pod)).To(Succeed())
		g.Expect(Ready(&pod)).To(BeTrue(), "%s: %v", pod.Status.Phase, pod.Status.ContainerStatuses)
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return &pod
}

// Drain deletes a pod and waits until it is gone.
func (n *Namespace) Drain(ctx context.Context, pod *corev1.Pod) Drain {
	GinkgoHelper()
	drains := n.WatchDrains(ctx, pod.Labels["app"])
	n.Delete(ctx, pod)
	for _, d := range drains.AwaitEnds(ctx, 1) {
		if d.Pod.UID == pod.UID {
			return d
		}
	}
	Fail("another pod than " + pod.Name + " ended")
	return Drain{}
}

// Service makes a Service for the pods labelled app: name and returns the
// address of their work. The load waits until it can be reached.
func (n *Namespace) Service(ctx context.Context, name string, port int32) string {
	GinkgoHelper()
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": name},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(port)}},
		},
	}
	n.Create(ctx, s)
	return fmt.Sprintf("http://%s:80/work", s.Spec.ClusterIP)
}

// WorkOf is the address of the work of one pod, past any Service.
func WorkOf(pod *corev1.Pod, port int32) string {
	return fmt.Sprintf("http://%s:%d/work", pod.Status.PodIP, port)
}

// Say makes the drain status of a pod of the workload another one.
func (n *Namespace) Say(ctx context.Context, pod, status string) {
	GinkgoHelper()
	_, err := n.Kube.CoreV1().RESTClient().Get().Namespace(n.Name).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, WorkPort)).SubResource("proxy").Suffix("say").Param("status", status).DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
}

// Call asks a path of a pod through the API server and returns the answer.
func (n *Namespace) Call(ctx context.Context, pod string, port int32, path string) (string, error) {
	body, err := n.Kube.CoreV1().RESTClient().Get().Namespace(n.Name).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, port)).SubResource("proxy").Suffix(path).DoRaw(ctx)
	return string(body), err
}
