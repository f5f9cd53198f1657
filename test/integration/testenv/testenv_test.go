// Package testenv tests pkg/testenv on a real API server, where
// examples/envtest, which shows how to use it, does not.
package testenv

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/pkg/testenv"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

var (
	config  *rest.Config
	cluster client.Client
)

func TestTestenv(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "testenv")
}

var _ = BeforeSuite(func() {
	env := &envtest.Environment{CRDs: testenv.CRDs(), ControlPlaneStartTimeout: 2 * time.Minute}
	var err error
	config, err = env.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
	cluster, err = client.New(config, client.Options{Scheme: framework.Scheme()})
	Expect(err).NotTo(HaveOccurred())
})

// start serves the webhooks until the end of the spec.
func start(ctx context.Context, o testenv.Options) *testenv.Webhooks {
	GinkgoHelper()
	webhooks, err := testenv.Start(ctx, config, o)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(webhooks.Stop()).To(Succeed()) })
	return webhooks
}

func namespace(ctx context.Context, labels map[string]string) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-", Labels: labels}}
	Expect(cluster.Create(ctx, ns)).To(Succeed())
	return ns.Name
}

func policy(ctx context.Context, namespace string, change func(*v1alpha1.DrainPolicySpec)) *v1alpha1.DrainPolicy {
	GinkgoHelper()
	p := &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	if change != nil {
		change(&p.Spec)
	}
	Expect(cluster.Create(ctx, p)).To(Succeed())
	return p
}

func template() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/web:1"}}},
	}
}

func pod(namespace string) *corev1.Pod {
	t := template()
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-", Labels: t.Labels}, Spec: t.Spec}
}

var _ = Describe("The webhooks of a test", func() {
	It("see every policy that was created before the pod", func(ctx context.Context) {
		start(ctx, testenv.Options{})
		for range 20 {
			ns := namespace(ctx, nil)
			policy(ctx, ns, nil)
			created := pod(ns)
			Expect(cluster.Create(ctx, created)).To(Succeed())
			Expect(created.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationInjectedBy, "web/1"))
		}
	})

	It("are told to API servers by one at a time, and gone when stopped", func(ctx context.Context) {
		webhooks := start(ctx, testenv.Options{})
		_, err := testenv.Start(ctx, config, testenv.Options{})
		Expect(err).To(MatchError(ContainSubstring("registered already")))
		Expect(webhooks.Stop()).To(Succeed())
		Expect(webhooks.Stop()).To(Succeed(), "a second time")
		var left admissionv1.MutatingWebhookConfigurationList
		Expect(cluster.List(ctx, &left)).To(Succeed())
		Expect(left.Items).To(BeEmpty())
		start(ctx, testenv.Options{})
	})

	It("deliver the agent as they are told", func(ctx context.Context) {
		ns := namespace(ctx, nil)
		policy(ctx, ns, nil)
		webhooks := start(ctx, testenv.Options{InitContainer: true, AllowEmptyDir: true, AgentImage: framework.AgentImage})
		preview, err := webhooks.Preview(ctx, ns, template())
		Expect(err).NotTo(HaveOccurred())
		Expect(preview.After.Spec.InitContainers).To(HaveLen(1))
		Expect(preview.After.Spec.InitContainers[0].Image).To(Equal(framework.AgentImage))
		Expect(preview.Notes).To(ContainElement(HaveField("Reason", "EmptyDirBlocksDrain")))
	})

	It("leave alone what the operator does", func(ctx context.Context) {
		webhooks := start(ctx, testenv.Options{ExcludedNamespaces: []string{"left-alone"}})
		off := namespace(ctx, map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionDisabled})
		policy(ctx, off, nil)
		created := pod(off)
		Expect(cluster.Create(ctx, created)).To(Succeed())
		Expect(created.Labels).NotTo(HaveKey(v1alpha1.LabelInjected))

		Expect(cluster.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "left-alone"}})).To(Succeed())
		policy(ctx, "left-alone", nil)
		preview, err := webhooks.Preview(ctx, "left-alone", template())
		Expect(err).NotTo(HaveOccurred())
		Expect(preview.Result).To(Equal(testenv.Excluded))
		Expect(preview.Reason).To(Equal("ExcludedNamespace"))
	})

	It("lengthen evictions", func(ctx context.Context) {
		start(ctx, testenv.Options{})
		ns := namespace(ctx, nil)
		p := policy(ctx, ns, func(s *v1alpha1.DrainPolicySpec) {
			s.GracePeriod.ShutdownSeconds = ptr.To[int32](20)
			s.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{Port: intstr.FromInt32(9090), Histogram: "h"}}
		})
		created := pod(ns)
		created.Spec.NodeName = "nowhere" // or the API server deletes it at once
		Expect(cluster.Create(ctx, created)).To(Succeed())
		// What the operator's controllers would have learned since.
		p.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](400)}
		Expect(cluster.Status().Update(ctx, p)).To(Succeed())
		Expect(cluster.SubResource("eviction").Create(ctx, created, &policyv1.Eviction{})).To(Succeed())
		Expect(cluster.Get(ctx, types.NamespacedName{Namespace: ns, Name: created.Name}, created)).To(Succeed())
		Expect(created.DeletionGracePeriodSeconds).To(HaveValue(BeEquivalentTo(420)))
	})
})

var _ = Describe("A preview", func() {
	It("creates nothing, and shows the pod before and after", func(ctx context.Context) {
		ns := namespace(ctx, nil)
		policy(ctx, ns, nil)
		before := template()
		preview, err := start(ctx, testenv.Options{}).Preview(ctx, ns, before)
		Expect(err).NotTo(HaveOccurred())
		Expect(preview.Result).To(Equal(testenv.Injected))
		Expect(preview.Before.Annotations).To(BeEmpty())
		Expect(preview.Before.Spec.Containers[0].Lifecycle).To(BeNil())
		Expect(preview.After.Spec.Containers[0].Lifecycle).NotTo(BeNil())
		Expect(before).To(Equal(template()), "the template stays as it is")
		var pods corev1.PodList
		Expect(cluster.List(ctx, &pods, client.InNamespace(ns))).To(Succeed())
		Expect(pods.Items).To(BeEmpty())
	})

	DescribeTable("says what becomes of a pod", func(ctx context.Context, change func(*v1alpha1.DrainPolicySpec), annotations map[string]string, want testenv.Result, policyName, reason string) {
		ns := namespace(ctx, nil)
		policy(ctx, ns, change)
		asked := template()
		asked.Annotations = annotations
		preview, err := start(ctx, testenv.Options{}).Preview(ctx, ns, asked)
		Expect(err).NotTo(HaveOccurred())
		Expect([]string{string(preview.Result), preview.Policy, preview.Reason}).To(Equal([]string{string(want), policyName, reason}))
		Expect(preview.Before.Annotations).To(Equal(annotations))
	},
		Entry("injected", nil, nil, testenv.Injected, "web", ""),
		Entry("observed", func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve }, nil, testenv.Observed, "web", ""),
		Entry("opted out", nil, map[string]string{v1alpha1.AnnotationInject: "false"}, testenv.Excluded, "", "OptedOut"),
		Entry("not selected", func(s *v1alpha1.DrainPolicySpec) { s.Selector.MatchLabels["app"] = "other" }, nil, testenv.NotSelected, "", ""),
	)

	It("tells what the API server says of an impossible pod", func(ctx context.Context) {
		impossible := template()
		impossible.Spec.Containers[0].Image = ""
		_, err := start(ctx, testenv.Options{}).Preview(ctx, namespace(ctx, nil), impossible)
		Expect(err).To(MatchError(ContainSubstring("image")))
	})
})
