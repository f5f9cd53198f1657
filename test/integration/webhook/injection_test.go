package webhook

import (
	"context"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

var _ = Describe("A pod that is created", func() {
	var namespace string

	BeforeEach(func(ctx context.Context) { namespace = shared.namespace(ctx, nil) })

	It("is injected when a policy selects it", func(ctx context.Context) {
		policy := shared.policy(ctx, namespace, "web", nil)
		shared.eventuallyInjects(ctx, policy)

		pod := shared.pod(ctx, namespace, nil)

		Expect(pod.Labels).To(HaveKeyWithValue(v1alpha1.LabelInjected, "true"))
		Expect(pod.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationInjectedBy, "web/1"))
		Expect(pod.Spec.Containers[0].Lifecycle.PreStop.Exec).NotTo(BeNil())
		Expect(pod.Spec.InitContainers).To(HaveLen(1), "no node is known: the agent comes by init container")
		Expect(pod.Spec.InitContainers[0].Image).To(Equal(framework.AgentImage))
	})

	It("is injected within a second or so of its policy", func(ctx context.Context) {
		before := time.Now()
		policy := shared.policy(ctx, namespace, "web", nil)
		shared.eventuallyInjects(ctx, policy)
		took := time.Since(before)
		AddReportEntry("policy to first injection", took.String())
		Expect(took).To(BeNumerically("<", 30*time.Second), "loose: the machine is shared")
	})

	It("is not even shown to the webhook in a namespace without a policy", func(ctx context.Context) {
		other := shared.namespace(ctx, nil)
		shared.eventuallyInjects(ctx, shared.policy(ctx, other, "web", nil))
		before := calls(operator)
		for range 5 {
			Expect(shared.pod(ctx, namespace, nil).Labels).NotTo(HaveKey(v1alpha1.LabelInjected))
		}
		Expect(calls(operator)).To(Equal(before))
		shared.pod(ctx, other, nil)
		Expect(calls(operator)).To(BeNumerically(">", before), "or the count counts nothing")
	})

	It("is left alone when no policy selects it", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		before := metric(operator, "drain_operator_injections_total", map[string]string{"result": "NotSelected"})
		pod := shared.pod(ctx, namespace, func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} })
		Expect(pod.Labels).To(Equal(map[string]string{"app": "other"}))
		Expect(pod.Annotations).To(BeEmpty())
		Expect(metric(operator, "drain_operator_injections_total", map[string]string{"result": "NotSelected"})).To(Equal(before + 1))
	})

	It("is out of reach of another namespace's policy, whatever that selects", func(ctx context.Context) {
		greedy := shared.policy(ctx, shared.namespace(ctx, nil), "greedy", func(s *v1alpha1.DrainPolicySpec) {
			s.Selector = &metav1.LabelSelector{}
		})
		shared.eventuallyInjects(ctx, greedy)
		own := shared.policy(ctx, namespace, "web", nil)
		shared.eventuallyInjects(ctx, own)

		stranger := shared.pod(ctx, namespace, func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} })
		Expect(stranger.Annotations).To(BeEmpty())
		named := shared.pod(ctx, namespace, func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationPolicy: "greedy"}
		})
		Expect(named.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationInjectedBy, "web/1"))
	})

	It("is not shown to the webhook when its namespace turns injection off", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		label(ctx, namespace, v1alpha1.LabelInjection, v1alpha1.InjectionDisabled)
		Eventually(shared.injectedBy).WithArguments(ctx, namespace).Should(BeEmpty())
		before := calls(operator)
		shared.pod(ctx, namespace, nil)
		Expect(calls(operator)).To(Equal(before))

		label(ctx, namespace, v1alpha1.LabelInjection, "enabled")
		Eventually(shared.injectedBy).WithArguments(ctx, namespace).Should(Equal("web/1"))
	})

	It("is not shown to the webhook when it opts out", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		before := calls(operator)
		pod := shared.pod(ctx, namespace, func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationInject: "false"}
		})
		Expect(pod.Labels).NotTo(HaveKey(v1alpha1.LabelInjected))
		Expect(calls(operator)).To(Equal(before))

		pod = shared.pod(ctx, namespace, func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationInject: "true", "other": "x"}
		})
		Expect(pod.Labels).To(HaveKey(v1alpha1.LabelInjected))
	})

	It("is left alone for a reason, which is counted", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		reason := map[string]string{"reason": string(plan.ExcludedRestartPolicy)}
		before := metric(operator, "drain_operator_injection_exclusions_total", reason)
		pod := shared.pod(ctx, namespace, func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
		Expect(pod.Labels).NotTo(HaveKey(v1alpha1.LabelInjected))
		Expect(metric(operator, "drain_operator_injection_exclusions_total", reason)).To(Equal(before + 1))
	})

	It("gets the policy with more requirements, unless it names another", func(ctx context.Context) {
		shared.policy(ctx, namespace, "any", func(s *v1alpha1.DrainPolicySpec) { s.Selector = &metav1.LabelSelector{} })
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		Expect(shared.pod(ctx, namespace, nil).Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationInjectedBy, "web/1"))
		named := shared.pod(ctx, namespace, func(p *corev1.Pod) {
			p.Annotations = map[string]string{v1alpha1.AnnotationPolicy: "any"}
		})
		Expect(named.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationInjectedBy, "any/1"))
	})

	It("is not changed by an Observe policy, which is counted", func(ctx context.Context) {
		shared.policy(ctx, namespace, "web", func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })
		Eventually(shared.namespaces).WithArguments(ctx).Should(ContainElement(namespace))
		observed := func() float64 {
			return metric(operator, "drain_operator_injections_total", map[string]string{"result": "Observed"})
		}
		before := observed()
		Eventually(func(g Gomega) {
			pod := webPod(namespace)
			g.Expect(shared.Client.Create(ctx, pod)).To(Succeed())
			g.Expect(pod.Labels).To(Equal(map[string]string{"app": "web"}))
			g.Expect(pod.Annotations).To(BeEmpty())
			g.Expect(pod.Spec.InitContainers).To(BeEmpty())
			g.Expect(observed()).To(BeNumerically(">", before))
		}).Should(Succeed())
	})

	It("gets the same in a dry run, which does not count", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		name := func(p *corev1.Pod) { p.Name = "same" }
		before := metric(operator, "drain_operator_injections_total", nil)
		dry := shared.pod(ctx, namespace, name, client.DryRunAll)
		Expect(metric(operator, "drain_operator_injections_total", nil)).To(Equal(before))
		real := shared.pod(ctx, namespace, name)
		Expect(metric(operator, "drain_operator_injections_total", nil)).To(Equal(before + 1))
		Expect(dry.Spec).To(Equal(real.Spec))
		Expect(dry.Annotations).To(Equal(real.Annotations))
	})

	It("is not changed further when it is created from an injected one", func(ctx context.Context) {
		shared.eventuallyInjects(ctx, shared.policy(ctx, namespace, "web", nil))
		first := shared.pod(ctx, namespace, nil)
		again := map[string]string{"result": "InjectedAgain"}
		before := metric(operator, "drain_operator_injections_total", again)
		second := shared.pod(ctx, namespace, func(p *corev1.Pod) {
			p.Labels, p.Annotations, p.Spec = first.Labels, first.Annotations, *first.Spec.DeepCopy()
		})
		Expect(second.Spec).To(Equal(first.Spec))
		Expect(second.Annotations).To(Equal(first.Annotations))
		Expect(metric(operator, "drain_operator_injections_total", again)).To(Equal(before + 1))
	})
})

var _ = DescribeTable("A namespace that is left alone", func(ctx context.Context, namespace string) {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := shared.Client.Create(ctx, object); err != nil {
		Expect(client.IgnoreAlreadyExists(err)).To(Succeed())
	}
	shared.policy(ctx, namespace, "web", nil)
	// Another namespace's policy, created later: once it shows, this one has been seen.
	later := shared.namespace(ctx, nil)
	shared.eventuallyInjects(ctx, shared.policy(ctx, later, "web", nil))
	Expect(shared.namespaces(ctx)).To(And(ContainElement(later), Not(ContainElement(namespace))))
},
	Entry("control plane", metav1.NamespaceSystem),
	Entry("public", metav1.NamespacePublic),
	Entry("node leases", corev1.NamespaceNodeLease),
	Entry("the operator's own", framework.OperatorNamespace),
	Entry("named by a flag", "left-alone"),
)

var _ = Describe("The metrics", func() {
	It("are for those who may read them", func(ctx context.Context) {
		status, _, err := operator.Scrape("")
		Expect(err).NotTo(HaveOccurred())
		Expect(status).To(Equal(http.StatusUnauthorized))

		stranger := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "stranger"}}
		Expect(shared.Client.Create(ctx, stranger)).To(Succeed())
		token, err := shared.Token(ctx, "default", "stranger")
		Expect(err).NotTo(HaveOccurred())
		status, _, err = operator.Scrape(token)
		Expect(err).NotTo(HaveOccurred())
		Expect(status).To(Equal(http.StatusForbidden))

		// controller-runtime answers with 500 where the API server cannot read
		// a token.
		status, body, err := operator.Scrape("forged." + token)
		Expect(err).NotTo(HaveOccurred())
		Expect(status).To(BeNumerically(">=", http.StatusBadRequest))
		Expect(body).NotTo(ContainSubstring("drain_operator"))

		status, body, err = operator.Scrape(scraper)
		Expect(err).NotTo(HaveOccurred())
		Expect(status).To(Equal(http.StatusOK))
		Expect(body).To(ContainSubstring("drain_operator_injections_total"))
	})
})

var _ = Describe("Profiles", func() {
	It("are served where they are asked for, and nowhere else", func(ctx context.Context) {
		Expect(operator.Profiles("")).To(Equal(http.StatusNotFound))

		addresses, err := framework.FreeAddresses(1)
		Expect(err).NotTo(HaveOccurred())
		replica := shared.run(ctx, "--pprof-address="+addresses[0])
		Expect(replica.Profiles(addresses[0])).To(Equal(http.StatusOK))
		Expect(replica.Profiles("")).To(Equal(http.StatusNotFound))
	})
})

func label(ctx context.Context, namespace, key, value string) {
	GinkgoHelper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	patch := []byte(`{"metadata":{"labels":{"` + key + `":"` + value + `"}}}`)
	Expect(shared.Client.Patch(ctx, object, client.RawPatch("application/merge-patch+json", patch))).To(Succeed())
}
