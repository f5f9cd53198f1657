package webhook

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

var _ = Describe("Injection", func() {
	It("injects a selected pod", func(ctx context.Context) {
		namespace := newNamespace(ctx, nil)
		createPolicy(ctx, namespace, "web", nil)
		eventuallyInjects(ctx, namespace)
		pod := createPod(ctx, namespace, nil)
		Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.LabelInjected, "true"))
	})
})

func newNamespace(ctx context.Context, labels map[string]string) string {
	GinkgoHelper()
	name, err := env.Namespace(ctx, labels)
	Expect(err).NotTo(HaveOccurred())
	return name
}

// createPolicy creates a policy that selects app=web, changed as wanted.
func createPolicy(ctx context.Context, namespace, name string, change func(*v1alpha1.DrainPolicy)) *v1alpha1.DrainPolicy {
	GinkgoHelper()
	policy := &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	if change != nil {
		change(policy)
	}
	Expect(env.Client.Create(ctx, policy)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(env.Client.Delete(ctx, policy))).To(Succeed()) })
	return policy
}

func webPod(namespace string, change func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/web:1"}}},
	}
	if change != nil {
		change(pod)
	}
	return pod
}

func createPod(ctx context.Context, namespace string, change func(*corev1.Pod), opts ...client.CreateOption) *corev1.Pod {
	GinkgoHelper()
	pod := webPod(namespace, change)
	Expect(env.Client.Create(ctx, pod, opts...)).To(Succeed())
	return pod
}

// eventuallyInjects waits until the API server calls the webhook for pods of a namespace.
func eventuallyInjects(ctx context.Context, namespace string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		pod := webPod(namespace, nil)
		g.Expect(env.Client.Create(ctx, pod, client.DryRunAll)).To(Succeed())
		g.Expect(pod.Labels).To(HaveKey(v1alpha1.LabelInjected))
	}).Should(Succeed())
}
