package webhook

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// What the pods of these specs get when they are created, and what they would
// get once more was measured. Seconds.
const (
	shutdownSeconds  = 10
	createdWithGrace = 30
	newerGrace       = 75
)

var _ = Describe("An eviction", func() {
	var clients *kubernetes.Clientset
	var policy *v1alpha1.DrainPolicy

	BeforeEach(func(ctx context.Context) {
		var err error
		clients, err = kubernetes.NewForConfig(shared.Config)
		Expect(err).NotTo(HaveOccurred())
		policy = shared.policy(ctx, shared.namespace(ctx, nil), "web", measuring)
		shared.measured(ctx, policy, createdWithGrace)
		shared.eventuallyInjects(ctx, policy)
	})

	// raised is a pod whose policy gives a longer grace by now.
	raised := func(ctx context.Context) *corev1.Pod {
		GinkgoHelper()
		shared.eventuallyAsks(ctx, clients, policy)
		shared.measured(ctx, policy, createdWithGrace)
		Eventually(func() *int64 {
			return shared.pod(ctx, policy.Namespace, nil, client.DryRunAll).Spec.TerminationGracePeriodSeconds
		}).Should(HaveValue(BeEquivalentTo(createdWithGrace)))
		pod := shared.runningPod(ctx, policy.Namespace)
		Expect(pod.Spec.TerminationGracePeriodSeconds).To(HaveValue(BeEquivalentTo(createdWithGrace)))
		shared.eventuallyKnows(ctx, policy)
		shared.measured(ctx, policy, newerGrace)
		Eventually(func() *int64 {
			return shared.pod(ctx, policy.Namespace, nil, client.DryRunAll).Spec.TerminationGracePeriodSeconds
		}).Should(HaveValue(BeEquivalentTo(newerGrace)))
		return pod
	}

	DescribeTable("gets the newer, longer grace if it asks for the pod's own", func(ctx context.Context, evict func(*corev1.Pod) error) {
		pod := raised(ctx)
		before := evictions(operator, "Lengthened")
		Expect(evict(pod)).To(Succeed())
		Expect(shared.deletionGrace(ctx, pod)).To(BeEquivalentTo(newerGrace))
		Expect(evictions(operator, "Lengthened")).To(Equal(before + 1))
	},
		Entry("policy/v1, without options", func(pod *corev1.Pod) error { return evict(clients, pod, nil) }),
		Entry("policy/v1, as kubectl drain does it", func(pod *corev1.Pod) error { return evict(clients, pod, &metav1.DeleteOptions{}) }),
		Entry("policy/v1, as the cluster autoscaler does it", func(pod *corev1.Pod) error {
			return evict(clients, pod, &metav1.DeleteOptions{GracePeriodSeconds: pod.Spec.TerminationGracePeriodSeconds})
		}),
		Entry("policy/v1, of the very pod", func(pod *corev1.Pod) error {
			return evict(clients, pod, &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pod.UID}})
		}),
		Entry("policy/v1beta1, without options", func(pod *corev1.Pod) error { return evictBeta(clients, pod, nil) }),
		Entry("policy/v1beta1, with the pod's own grace", func(pod *corev1.Pod) error {
			return evictBeta(clients, pod, &metav1.DeleteOptions{GracePeriodSeconds: pod.Spec.TerminationGracePeriodSeconds})
		}),
	)

	DescribeTable("gets what it asks for if that is another one", func(ctx context.Context, asked int) {
		pod := raised(ctx)
		before := evictions(operator, "AskedFor")
		Expect(evict(clients, pod, &metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(asked))})).To(Succeed())
		Expect(shared.deletionGrace(ctx, pod)).To(BeEquivalentTo(asked))
		Expect(evictions(operator, "AskedFor")).To(Equal(before + 1))
	},
		Entry("shorter", 5),
		Entry("longer than the pod's, shorter than the newer one", 40),
		Entry("longer still", 120),
	)

	It("changes and counts nothing when it is a dry run", func(ctx context.Context) {
		pod := raised(ctx)
		before := evictions(operator, "")
		Expect(evict(clients, pod, &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})).To(Succeed())
		Expect(shared.Client.SubResource("eviction").Create(ctx, pod.DeepCopy(), &policyv1.Eviction{}, client.DryRunAll)).To(Succeed())
		Expect(shared.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		Expect(pod.DeletionTimestamp).To(BeNil())
		Expect(evictions(operator, "")).To(Equal(before))
	})

	It("goes on with the pod's own grace when nothing longer is recommended", func(ctx context.Context) {
		pod := raised(ctx)
		shared.measured(ctx, policy, createdWithGrace)
		before := evictions(operator, "")
		Eventually(func() (int64, error) { // until the operator has seen it
			other := shared.runningPod(ctx, policy.Namespace)
			err := evict(clients, other, nil)
			return shared.deletionGrace(ctx, other), err
		}).Should(BeEquivalentTo(createdWithGrace))
		Expect(evict(clients, pod, nil)).To(Succeed())
		Expect(shared.deletionGrace(ctx, pod)).To(BeEquivalentTo(createdWithGrace))
		Expect(evictions(operator, "")).To(BeNumerically(">=", before+2))
	})

	It("goes on when the operator does not answer", Serial, func(ctx context.Context) {
		pod := raised(ctx)
		Expect(operator.Pause()).To(Succeed())
		resumed := false
		resume := func() {
			if !resumed {
				resumed = true
				Expect(operator.Resume()).To(Succeed())
			}
		}
		DeferCleanup(resume)
		start := time.Now()
		Expect(evict(clients, pod, nil)).To(Succeed())
		took := time.Since(start)
		resume()
		Expect(took).To(BeNumerically(">=", 2*time.Second), "or it did not hang")
		Expect(took).To(BeNumerically("<", withoutTimeout))
		Expect(shared.deletionGrace(ctx, pod)).To(BeEquivalentTo(createdWithGrace))
	})

	It("is not asked about where nothing was measured, nor where there is no policy", func(ctx context.Context) {
		shared.eventuallyAsks(ctx, clients, policy)
		unmeasured := shared.policy(ctx, shared.namespace(ctx, nil), "web", nil)
		shared.eventuallyInjects(ctx, unmeasured)
		observing := shared.policy(ctx, shared.namespace(ctx, nil), "web", func(s *v1alpha1.DrainPolicySpec) {
			measuring(s)
			s.Mode = v1alpha1.ModeObserve
		})
		shared.measured(ctx, observing, newerGrace)
		without := shared.namespace(ctx, nil)
		before := evictions(operator, "")
		for _, namespace := range []string{unmeasured.Namespace, observing.Namespace, without} {
			pod := shared.runningPod(ctx, namespace)
			Expect(evict(clients, pod, nil)).To(Succeed())
			Expect(shared.deletionGrace(ctx, pod)).To(Equal(*pod.Spec.TerminationGracePeriodSeconds))
		}
		Expect(evictions(operator, "")).To(Equal(before))
		asked, err := shared.evictionNamespaces(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(asked).To(ContainElement(policy.Namespace))
		Expect(asked).NotTo(ContainElements(unmeasured.Namespace, observing.Namespace, without))
	})

	It("is not asked about any more when the policy only observes, and then is gone", func(ctx context.Context) {
		Eventually(shared.evictionNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
		Expect(shared.Client.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(patch(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })).To(Succeed())
		Eventually(shared.evictionNamespaces).WithArguments(ctx).ShouldNot(ContainElement(policy.Namespace))
		Expect(patch(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeEnforce })).To(Succeed())
		Eventually(shared.evictionNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
		Expect(shared.Client.Delete(ctx, policy)).To(Succeed())
		Eventually(shared.evictionNamespaces).WithArguments(ctx).ShouldNot(ContainElement(policy.Namespace))
	})

	It("is asked about by a webhook that fails open, quickly", func(ctx context.Context) {
		Eventually(shared.evictionNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
		w, err := shared.evictionWebhook(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(*w.FailurePolicy).To(Equal(admissionv1.Ignore))
		Expect(*w.TimeoutSeconds).To(BeEquivalentTo(2))
		Expect(*w.ReinvocationPolicy).To(Equal(admissionv1.NeverReinvocationPolicy))
		Expect(*w.SideEffects).To(Equal(admissionv1.SideEffectClassNone))
		Expect(w.ObjectSelector).To(HaveValue(BeZero()))
		Expect(w.Rules).To(HaveLen(1))
		Expect(w.Rules[0].Resources).To(Equal([]string{"pods/eviction"}))
	})
})

// measuring has a source of latency, which nobody answers here: what the
// status says stands.
func measuring(s *v1alpha1.DrainPolicySpec) {
	s.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{
		Port: intstr.FromInt32(9090), Histogram: "http_request_duration_seconds",
	}}
	s.GracePeriod.ShutdownSeconds = ptr.To[int32](shutdownSeconds)
}

// measured makes the policy give its pods a grace from now on.
func (c cluster) measured(ctx context.Context, policy *v1alpha1.DrainPolicy, grace int32) {
	GinkgoHelper()
	Eventually(func() error { // the operator writes statuses, too
		current := &v1alpha1.DrainPolicy{}
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(policy), current); err != nil {
			return err
		}
		current.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To(grace - shutdownSeconds), RecommendedSeconds: grace}
		return c.Client.Status().Update(ctx, current)
	}).Should(Succeed())
}

// runningPod has a node, or its deletion would take no time. Here no kubelet
// ends it.
func (c cluster) runningPod(ctx context.Context, namespace string) *corev1.Pod {
	GinkgoHelper()
	pod := c.pod(ctx, namespace, func(p *corev1.Pod) { p.Spec.NodeName = "nowhere" })
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(c.Client.Delete(ctx, pod, client.GracePeriodSeconds(0)))).To(Succeed())
	})
	return pod
}

// eventuallyKnows waits until the operator's cache holds the pods of a policy:
// its status says how many.
func (c cluster) eventuallyKnows(ctx context.Context, policy *v1alpha1.DrainPolicy) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(c.Client.List(ctx, pods, client.InNamespace(policy.Namespace))).To(Succeed())
		alive := int32(0)
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil {
				alive++
			}
		}
		current := &v1alpha1.DrainPolicy{}
		g.Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(policy), current)).To(Succeed())
		g.Expect(current.Status.Injected).To(Equal(alive))
	}).Should(Succeed())
}

// eventuallyAsks waits until the API server asks about evictions of a policy's
// pods: until an eviction of one counts.
func (c cluster) eventuallyAsks(ctx context.Context, clients kubernetes.Interface, policy *v1alpha1.DrainPolicy) {
	GinkgoHelper()
	Eventually(c.evictionNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
	Eventually(func() (float64, error) {
		before := evictions(operator, "")
		err := evict(clients, c.runningPod(ctx, policy.Namespace), nil)
		return evictions(operator, "") - before, err
	}).Should(BeEquivalentTo(1))
}

// deletionGrace is the grace with which a pod is being deleted.
func (c cluster) deletionGrace(ctx context.Context, pod *corev1.Pod) int64 {
	GinkgoHelper()
	current := &corev1.Pod{}
	Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(pod), current)).To(Succeed())
	Expect(current.DeletionGracePeriodSeconds).NotTo(BeNil(), "the pod is not being deleted")
	return *current.DeletionGracePeriodSeconds
}

func (c cluster) evictionWebhook(ctx context.Context) (*admissionv1.MutatingWebhook, error) {
	configuration, err := c.registered(ctx)
	if err != nil {
		return nil, err
	}
	for i := range configuration.Webhooks {
		if configuration.Webhooks[i].Name == "evict.drain-operator.dev" {
			return &configuration.Webhooks[i], nil
		}
	}
	return nil, nil
}

// evictionNamespaces returns the namespaces about whose evictions is asked.
func (c cluster) evictionNamespaces(ctx context.Context) ([]string, error) {
	w, err := c.evictionWebhook(ctx)
	if err != nil || w == nil {
		return nil, err
	}
	for _, requirement := range w.NamespaceSelector.MatchExpressions {
		if requirement.Key == corev1.LabelMetadataName {
			return requirement.Values, nil
		}
	}
	return nil, nil
}

func evict(clients kubernetes.Interface, pod *corev1.Pod, options *metav1.DeleteOptions) error {
	return clients.PolicyV1().Evictions(pod.Namespace).Evict(context.Background(), &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, DeleteOptions: options,
	})
}

func evictBeta(clients kubernetes.Interface, pod *corev1.Pod, options *metav1.DeleteOptions) error {
	return clients.PolicyV1beta1().Evictions(pod.Namespace).Evict(context.Background(), &policyv1beta1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, DeleteOptions: options,
	})
}

// evictions is how many evictions a replica answered with a result, or with any.
func evictions(replica *framework.Operator, result string) float64 {
	GinkgoHelper()
	var labels map[string]string
	if result != "" {
		labels = map[string]string{"result": result}
	}
	return metric(replica, "drain_operator_evictions_total", labels)
}
