package webhook

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// withoutTimeout is what an API server takes at least when nobody answers a
// webhook that names no timeout of its own; ours is 2 s.
const withoutTimeout = 10 * time.Second

// cluster is an API server with helpers that fail the spec.
type cluster struct{ *framework.Environment }

func (c cluster) namespace(ctx context.Context, labels map[string]string) string {
	GinkgoHelper()
	name, err := c.Namespace(ctx, labels)
	Expect(err).NotTo(HaveOccurred())
	return name
}

// policy creates a policy that selects app=web, changed as wanted, until the
// end of the spec.
func (c cluster) policy(ctx context.Context, namespace, name string, change func(*v1alpha1.DrainPolicySpec)) *v1alpha1.DrainPolicy {
	GinkgoHelper()
	policy := &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	if change != nil {
		change(&policy.Spec)
	}
	Expect(c.Client.Create(ctx, policy)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(client.IgnoreNotFound(c.Client.Delete(ctx, policy))).To(Succeed()) })
	return policy
}

// pod creates a pod that the policies select, changed as wanted.
func (c cluster) pod(ctx context.Context, namespace string, change func(*corev1.Pod), opts ...client.CreateOption) *corev1.Pod {
	GinkgoHelper()
	pod := webPod(namespace)
	if change != nil {
		change(pod)
	}
	Expect(c.Client.Create(ctx, pod, opts...)).To(Succeed())
	return pod
}

// webPod is valid under every Pod Security level.
func webPod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot:   ptr.To(true),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "app", Image: "registry.example.com/web:1",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: ptr.To(false),
					Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

// injectedBy is what a pod of a dry run says of its injection: policy and
// generation, empty when it was not injected.
func (c cluster) injectedBy(ctx context.Context, namespace string) (string, error) {
	pod := webPod(namespace)
	err := c.Client.Create(ctx, pod, client.DryRunAll)
	return pod.Annotations[v1alpha1.AnnotationInjectedBy], err
}

// eventuallyInjects waits until pods of a namespace get a policy's settings.
func (c cluster) eventuallyInjects(ctx context.Context, policy *v1alpha1.DrainPolicy) {
	GinkgoHelper()
	Eventually(c.injectedBy).WithArguments(ctx, policy.Namespace).Should(HavePrefix(policy.Name + "/"))
}

// registered returns the webhook configuration, empty when there is none.
func (c cluster) registered(ctx context.Context) (*admissionv1.MutatingWebhookConfiguration, error) {
	configuration := &admissionv1.MutatingWebhookConfiguration{}
	err := c.Client.Get(ctx, types.NamespacedName{Name: registration.ConfigurationName}, configuration)
	return configuration, client.IgnoreNotFound(err)
}

// namespaces returns the namespaces for which the webhook is registered.
func (c cluster) namespaces(ctx context.Context) ([]string, error) {
	configuration, err := c.registered(ctx)
	if err != nil || len(configuration.Webhooks) == 0 {
		return nil, err
	}
	for _, requirement := range configuration.Webhooks[0].NamespaceSelector.MatchExpressions {
		if requirement.Key == corev1.LabelMetadataName {
			return requirement.Values, nil
		}
	}
	return nil, nil
}

// calls is how often the API server has called the webhook of a replica, but
// for dry runs: the operator itself makes some to see whether it works.
func calls(replica *framework.Operator) float64 {
	GinkgoHelper()
	return metric(replica, "drain_operator_injections_total", nil)
}

func metric(replica *framework.Operator, name string, labels map[string]string) float64 {
	GinkgoHelper()
	value, err := replica.Metrics(scraper, name, labels)
	Expect(err).NotTo(HaveOccurred())
	return value
}
