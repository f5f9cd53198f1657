package chart

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const newColumn = "Reason" // the column of the CRD that the older chart lacks

var _ = Describe("A release", Ordered, func() {
	var replica *framework.Operator
	var certificate []byte

	It("is installed by one command, from an older chart", func(ctx context.Context) {
		helm(ctx, "install", release, olderChart(), values("default"))
		Expect(columns(ctx)).NotTo(ContainElement(newColumn))
		Expect(get(ctx, &corev1.Secret{}, "drain-operator-webhook-cert").Data).To(BeEmpty())
	})

	It("gives the operator the rights that it needs", func(ctx context.Context) {
		var err error
		replica, err = env.Run(ctx, binary, GinkgoT().TempDir(), GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		Eventually(replica.Ready).Should(Succeed())
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "web"},
			Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		}
		Expect(env.Client.Create(ctx, policy)).To(Succeed())
		Eventually(ready).WithContext(ctx).Should(BeTrue())
		Expect(ptr.Deref(get(ctx, &coordinationv1.Lease{}, "drain-operator").Spec.HolderIdentity, "")).NotTo(BeEmpty())
		secret := get(ctx, &corev1.Secret{}, "drain-operator-webhook-cert")
		certificate = secret.Data[certs.KeyCert]
		Expect(certificate).NotTo(BeEmpty())
	})

	It("is tested by a question to the webhook", func(ctx context.Context) {
		caFile := filepath.Join(GinkgoT().TempDir(), "ca.crt")
		Expect(os.WriteFile(caFile, get(ctx, &corev1.Secret{}, "drain-operator-webhook-cert").Data[certs.KeyBundle], 0o600)).To(Succeed())
		output, err := exec.CommandContext(ctx, binary, "check", "--ca-file="+caFile,
			"--address="+strings.TrimPrefix(replica.WebhookURL, "https://"),
			"--server-name=drain-operator-webhook."+namespace+".svc").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", output)
	})

	It("is upgraded, with its CRD, and keeps what the operator wrote", func(ctx context.Context) {
		helm(ctx, "upgrade", release, chart, values("default"), "--set", "replicas=3")
		Expect(columns(ctx)).To(ContainElement(newColumn))
		Expect(get(ctx, &appsv1.Deployment{}, "drain-operator").Spec.Replicas).To(HaveValue(BeEquivalentTo(3)))
		expectUntouched(ctx, certificate)
	})

	It("is rolled back, with its CRD, and keeps what the operator wrote", func(ctx context.Context) {
		helm(ctx, "rollback", release, "1")
		Expect(columns(ctx)).NotTo(ContainElement(newColumn))
		Expect(get(ctx, &appsv1.Deployment{}, "drain-operator").Spec.Replicas).To(HaveValue(BeEquivalentTo(2)))
		expectUntouched(ctx, certificate)
	})

	It("is uninstalled while a replica still runs, and leaves nothing but policies and their CRD", func(ctx context.Context) {
		// There is no garbage collector here: what takes the webhook along is its owner.
		var configuration admissionv1.MutatingWebhookConfiguration
		Expect(env.Client.Get(ctx, client.ObjectKey{Name: registration.ConfigurationName}, &configuration)).To(Succeed())
		var role rbacv1.ClusterRole
		Expect(env.Client.Get(ctx, client.ObjectKey{Name: "drain-operator"}, &role)).To(Succeed())
		Expect(configuration.OwnerReferences).To(HaveLen(1))
		Expect(configuration.OwnerReferences[0].UID).To(Equal(role.UID))

		helm(ctx, "uninstall", "--no-hooks", release) // nothing runs Jobs here
		Expect(replica.Stop()).To(Succeed())
		Expect(leftovers(ctx)).To(BeEmpty())
		Expect(columns(ctx)).NotTo(BeEmpty())
		Expect(ready(ctx)).To(BeTrue(), "the policy is there as it was")
	})

	It("is installed again, and uninstalled with its CRD when told to", func(ctx context.Context) {
		helm(ctx, "install", release, chart, values("default"), "--set", "crds.keep=false")
		helm(ctx, "uninstall", "--no-hooks", release) // nothing runs Jobs here
		Eventually(func() error { return env.Client.Get(ctx, client.ObjectKey{Name: crdName}, crd()) }).
			Should(Satisfy(apierrors.IsNotFound))
		Expect(leftovers(ctx)).To(BeEmpty())
	})
})

// olderChart is the chart as it was when its CRD had a column less.
func olderChart() string {
	GinkgoHelper()
	folder := filepath.Join(GinkgoT().TempDir(), "drain-operator")
	Expect(os.CopyFS(folder, os.DirFS(chart))).To(Succeed())
	path := filepath.Join(folder, "files", "crd", "drain-operator.dev_drainpolicies.yaml")
	manifest, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	const column = "    - jsonPath: .status.conditions[?(@.type==\"Ready\")].reason\n      name: " + newColumn + "\n      priority: 1\n      type: string\n"
	older := strings.Replace(string(manifest), column, "", 1)
	Expect(older).NotTo(Equal(string(manifest)))
	Expect(os.WriteFile(path, []byte(older), 0o600)).To(Succeed())
	return folder
}

const crdName = "drainpolicies.drain-operator.dev"

func crd() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("apiextensions.k8s.io/v1")
	object.SetKind("CustomResourceDefinition")
	return object
}

// columns that kubectl prints of a policy.
func columns(ctx context.Context) []string {
	GinkgoHelper()
	object := crd()
	Expect(env.Client.Get(ctx, client.ObjectKey{Name: crdName}, object)).To(Succeed())
	versions, _, err := unstructured.NestedSlice(object.Object, "spec", "versions")
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, column := range versions[0].(map[string]any)["additionalPrinterColumns"].([]any) {
		names = append(names, column.(map[string]any)["name"].(string))
	}
	return names
}

// get reads an object of the operator's namespace.
func get[T client.Object](ctx context.Context, object T, name string) T {
	GinkgoHelper()
	Expect(env.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)).To(Succeed())
	return object
}

// ready reports whether the policy's condition says so.
func ready(ctx context.Context) bool {
	var policy v1alpha1.DrainPolicy
	if err := env.Client.Get(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "web"}, &policy); err != nil {
		return false
	}
	for _, condition := range policy.Status.Conditions {
		if condition.Type == v1alpha1.ConditionReady {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

func expectUntouched(ctx context.Context, certificate []byte) {
	GinkgoHelper()
	Expect(get(ctx, &corev1.Secret{}, "drain-operator-webhook-cert").Data[certs.KeyCert]).To(Equal(certificate))
	Expect(ptr.Deref(get(ctx, &coordinationv1.Lease{}, "drain-operator").Spec.HolderIdentity, "")).NotTo(BeEmpty())
}

// leftovers are objects in the operator's namespace, and of the operator
// outside of it, that are neither the API server's own nor kept on purpose.
func leftovers(ctx context.Context) []string {
	GinkgoHelper()
	var left []string
	for _, list := range []client.ObjectList{
		&corev1.SecretList{}, &corev1.ServiceList{}, &corev1.ServiceAccountList{}, &coordinationv1.LeaseList{},
		&appsv1.DeploymentList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	} {
		left = append(left, listed(ctx, list, client.InNamespace(namespace))...)
	}
	for _, list := range []client.ObjectList{&rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}} {
		left = append(left, listed(ctx, list, client.MatchingLabels{"app.kubernetes.io/part-of": "drain-operator"})...)
	}
	return left
}

func listed(ctx context.Context, list client.ObjectList, which client.ListOption) []string {
	GinkgoHelper()
	Expect(env.Client.List(ctx, list, which)).To(Succeed())
	var names []string
	items, err := meta.ExtractList(list)
	Expect(err).NotTo(HaveOccurred())
	for _, item := range items {
		object := item.(client.Object)
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", list), "*v1."), "List")+" "+object.GetName())
	}
	return names
}
