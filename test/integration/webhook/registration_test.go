package webhook

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Serial: each spec looks at or damages the one configuration.
var _ = Describe("The webhook configuration", Serial, func() {
	var policy *v1alpha1.DrainPolicy

	BeforeEach(func(ctx context.Context) {
		policy = shared.policy(ctx, shared.namespace(ctx, nil), "web", nil)
		shared.eventuallyInjects(ctx, policy)
	})

	It("fails open, quickly, and belongs to the operator's ClusterRole", func(ctx context.Context) {
		configuration, err := shared.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(configuration.OwnerReferences).To(HaveLen(1))
		Expect(configuration.OwnerReferences[0].Kind).To(Equal("ClusterRole"))
		w := configuration.Webhooks[0]
		Expect(w.Name).To(Equal("inject.drain-operator.dev"))
		Expect(*w.FailurePolicy).To(Equal(admissionv1.Ignore))
		Expect(*w.TimeoutSeconds).To(BeEquivalentTo(2))
		Expect(*w.ReinvocationPolicy).To(Equal(admissionv1.IfNeededReinvocationPolicy))
		Expect(*w.SideEffects).To(Equal(admissionv1.SideEffectClassNone))
		Expect(w.Rules).To(HaveLen(1))
		Expect(w.Rules[0].Operations).To(Equal([]admissionv1.OperationType{admissionv1.Create}))
		Expect(w.Rules[0].Resources).To(Equal([]string{"pods"}))
	})

	It("is restored when somebody deletes it", func(ctx context.Context) {
		configuration, err := shared.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(shared.Client.Delete(ctx, configuration)).To(Succeed())
		Eventually(func(g Gomega) {
			restored, err := shared.registered(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(restored.UID).NotTo(Or(BeEmpty(), Equal(configuration.UID)))
		}).Should(Succeed())
		shared.eventuallyInjects(ctx, policy)
	})

	It("is restored when somebody edits what is the operator's", func(ctx context.Context) {
		configuration, err := shared.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		fail := admissionv1.Fail
		configuration.Webhooks[0].FailurePolicy = &fail
		configuration.Webhooks[0].ClientConfig.CABundle = nil
		Expect(shared.Client.Update(ctx, configuration)).To(Succeed())
		Eventually(func(g Gomega) {
			restored, err := shared.registered(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(*restored.Webhooks[0].FailurePolicy).To(Equal(admissionv1.Ignore))
			g.Expect(restored.Webhooks[0].ClientConfig.CABundle).NotTo(BeEmpty())
		}).Should(Succeed())
	})

	It("tolerates what others add", func(ctx context.Context) {
		theirs := metav1.LabelSelectorRequirement{Key: "cloud.example.com/managed", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}}
		configuration, err := shared.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		metav1.SetMetaDataAnnotation(&configuration.ObjectMeta, "cloud.example.com/seen", "yes")
		selector := configuration.Webhooks[0].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, theirs)
		Expect(shared.Client.Update(ctx, configuration)).To(Succeed())

		// The operator has to write it once more for another namespace.
		other := shared.policy(ctx, shared.namespace(ctx, nil), "web", nil)
		shared.eventuallyInjects(ctx, other)
		configuration, err = shared.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(configuration.Annotations).To(HaveKey("cloud.example.com/seen"))
		Expect(configuration.Webhooks[0].NamespaceSelector.MatchExpressions).To(ContainElement(theirs))
		settled := configuration.Generation
		Consistently(func() (int64, error) {
			configuration, err := shared.registered(ctx)
			return configuration.Generation, err
		}, "2s").Should(Equal(settled), "nobody takes turns with anybody")
	})

	It("is the leader's, who says so for DrainOperatorNoLeader", func() {
		Expect(metric(operator, "leader_election_master_status", map[string]string{"name": "drain-operator"})).To(BeEquivalentTo(1))
	})

	It("loses a namespace with its last policy", func(ctx context.Context) {
		Expect(shared.namespaces(ctx)).To(ContainElement(policy.Namespace))
		Expect(shared.Client.Delete(ctx, policy)).To(Succeed())
		Eventually(shared.namespaces).WithArguments(ctx).ShouldNot(ContainElement(policy.Namespace))
	})
})
