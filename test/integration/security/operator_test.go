package security

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// test/house looks at what the manifests say. This asks what comes of it.
var _ = Describe("The operator", func() {
	DescribeTable("may, of what matters most,", func(ctx context.Context, namespace, group, resource, subresource, object string, want ...string) {
		Expect(verbs(ctx, operatorName, namespace, group, resource, subresource, object)).To(HaveExactElements(want))
	},
		Entry("nothing with Secrets elsewhere", "default", "", "secrets", "", ""),
		Entry("nothing with one elsewhere that is called as its own", "default", "", "secrets", "", "drain-operator-webhook-cert"),
		Entry("read no other Secret of its namespace", framework.OperatorNamespace, "", "secrets", "", "other", "create"),
		Entry("not change pods; create and delete have their limits, see below", "default", "", "pods", "", "", "get", "list", "watch", "create", "delete"),
		Entry("change their status, within limits", "default", "", "pods", "status", "", "patch"),
		Entry("not exec", "default", "", "pods", "exec", ""),
		Entry("evict, within limits", "default", "", "pods", "eviction", "", "create"),
		Entry("read disruption budgets, no more", "default", "policy", "poddisruptionbudgets", "", "", "list"),
		Entry("list Deployments, no more", "default", "apps", "deployments", "", "", "list"),
		Entry("list Services, no more", "default", "", "services", "", "", "list"),
		Entry("list Ingresses, no more", "default", "networking.k8s.io", "ingresses", "", "", "list"),
		Entry("list IngressClasses, no more", "", "networking.k8s.io", "ingressclasses", "", "", "list"),
		Entry("list TargetGroupBindings, no more", "default", "elbv2.k8s.aws", "targetgroupbindings", "", "", "list"),
		Entry("list ControllerRevisions, no more", "default", "apps", "controllerrevisions", "", "", "list"),
		Entry("read ReplicaSets, no more", "default", "apps", "replicasets", "", "", "get", "list"),
		Entry("read a StatefulSet, no more", "default", "apps", "statefulsets", "", "", "get"),
		Entry("nothing with nodes but look", "", "", "nodes", "", "", "get", "list", "watch"),
		Entry("not ask kubelets", "", "", "nodes", "proxy", ""),
		Entry("not edit policies", "default", "drain-operator.dev", "drainpolicies", "", "", "get", "list", "watch"),
		Entry("nothing with others' webhooks but create", "", admissionv1.GroupName, "mutatingwebhookconfigurations", "", "other", "create"),
		Entry("not delete its own", "", admissionv1.GroupName, "mutatingwebhookconfigurations", "", registration.ConfigurationName, "get", "list", "watch", "create", "patch"),
		Entry("nothing with others' validating webhooks but create", "", admissionv1.GroupName, "validatingwebhookconfigurations", "", "other", "create"),
		Entry("not delete its own validating one", "", admissionv1.GroupName, "validatingwebhookconfigurations", "", registration.GateName, "get", "list", "watch", "create", "patch"),
		Entry("nothing with others' Leases", "default", "coordination.k8s.io", "leases", "", "drain-operator"),
		Entry("nothing with roles", "", "rbac.authorization.k8s.io", "clusterroles", "", "cluster-admin"),
	)

	It("creates pods in dry runs only, which RBAC cannot say", func(ctx context.Context) {
		Expect(operator().Create(ctx, newPod("default"), client.DryRunAll)).To(Succeed())
		Eventually(func() error { return operator().Create(ctx, newPod("default")) }).
			Should(MatchError(ContainSubstring("the operator creates pods in dry runs only")))
		Expect(env.Client.Create(ctx, newPod("default"))).To(Succeed(), "nobody else is concerned")
	})

	It("creates no webhook but its own", func(ctx context.Context) {
		for own, theirs := range map[client.Object]client.Object{
			&admissionv1.MutatingWebhookConfiguration{ObjectMeta: named(registration.ConfigurationName)}: &admissionv1.MutatingWebhookConfiguration{ObjectMeta: named("other")},
			&admissionv1.ValidatingWebhookConfiguration{ObjectMeta: named(registration.GateName)}:        &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: named(registration.ConfigurationName)},
		} {
			Eventually(func() error { return operator().Create(ctx, theirs.DeepCopyObject().(client.Object), client.DryRunAll) }).
				Should(MatchError(ContainSubstring("the webhook configurations drain-operator-inject and drain-operator-gate only")))
			Expect(operator().Create(ctx, own, client.DryRunAll)).To(Succeed())
			Expect(env.Client.Create(ctx, theirs, client.DryRunAll)).To(Succeed(), "nobody else is concerned")
		}
	})

	It("reads its own Secret, and no list of them", func(ctx context.Context) {
		var secrets corev1.SecretList
		Expect(operator().List(ctx, &secrets)).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(operator().List(ctx, &secrets, client.InNamespace(framework.OperatorNamespace))).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
		Expect(operator().List(ctx, &secrets, client.InNamespace(framework.OperatorNamespace),
			client.MatchingFields{metav1.ObjectNameField: "drain-operator-webhook-cert"})).To(Succeed())
	})
})

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
