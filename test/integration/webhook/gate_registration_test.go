package webhook

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/registration"
)

// Serial: each spec looks at or damages the one configuration.
var _ = Describe("The gate's configuration", Serial, func() {
	var policy *v1alpha1.DrainPolicy

	BeforeEach(func(ctx context.Context) {
		policy = shared.policy(ctx, shared.namespace(ctx, nil), "web", holdsDeletions)
		Eventually(shared.gateNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
	})

	It("fails open, quickly, and belongs to the operator's ClusterRole", func(ctx context.Context) {
		configuration, err := shared.gateRegistered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(configuration.OwnerReferences).To(HaveLen(1))
		Expect(configuration.OwnerReferences[0].Kind).To(Equal("ClusterRole"))
		Expect(configuration.Webhooks).To(HaveLen(2))
		for _, w := range configuration.Webhooks {
			Expect(*w.FailurePolicy).To(Equal(admissionv1.Ignore))
			Expect(*w.TimeoutSeconds).To(BeEquivalentTo(2))
			Expect(*w.SideEffects).To(Equal(admissionv1.SideEffectClassNoneOnDryRun))
			Expect(*w.MatchPolicy).To(Equal(admissionv1.Equivalent))
		}
	})

	It("is restored when somebody deletes it", func(ctx context.Context) {
		configuration, err := shared.gateRegistered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(shared.Client.Delete(ctx, configuration)).To(Succeed())
		Eventually(shared.gateNamespaces).WithArguments(ctx).Should(ContainElement(policy.Namespace))
	})

	It("is restored when somebody edits what is the operator's, and tolerates what others add", func(ctx context.Context) {
		theirs := metav1.LabelSelectorRequirement{Key: "cloud.example.com/managed", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}}
		configuration, err := shared.gateRegistered(ctx)
		Expect(err).NotTo(HaveOccurred())
		fail := admissionv1.Fail
		configuration.Webhooks[0].FailurePolicy = &fail
		selector := configuration.Webhooks[1].NamespaceSelector
		selector.MatchExpressions = append(selector.MatchExpressions, theirs)
		Expect(shared.Client.Update(ctx, configuration)).To(Succeed())
		Eventually(func(g Gomega) {
			restored, err := shared.gateRegistered(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(*restored.Webhooks[0].FailurePolicy).To(Equal(admissionv1.Ignore))
			g.Expect(restored.Webhooks[1].NamespaceSelector.MatchExpressions).To(ContainElement(theirs))
		}).Should(Succeed())
	})

	It("loses a namespace with its last policy that holds deletions", func(ctx context.Context) {
		other := shared.policy(ctx, policy.Namespace, "other", nil)
		Expect(shared.Client.Delete(ctx, policy)).To(Succeed())
		Eventually(shared.gateNamespaces).WithArguments(ctx).ShouldNot(ContainElement(policy.Namespace))
		Expect(shared.namespaces(ctx)).To(ContainElement(other.Namespace))
	})
})

// gateRegistered returns the gate's configuration, empty when there is none.
func (c cluster) gateRegistered(ctx context.Context) (*admissionv1.ValidatingWebhookConfiguration, error) {
	configuration := &admissionv1.ValidatingWebhookConfiguration{}
	err := c.Client.Get(ctx, types.NamespacedName{Name: registration.GateName}, configuration)
	return configuration, client.IgnoreNotFound(err)
}

// gateNamespaces returns the namespaces for which the gate is registered.
func (c cluster) gateNamespaces(ctx context.Context) ([]string, error) {
	configuration, err := c.gateRegistered(ctx)
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

// whoIs is a client's user.
func whoIs(ctx context.Context, clients kubernetes.Interface) (string, error) {
	review, err := clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return review.Status.UserInfo.Username, nil
}
