// Package security asks a real API server what the operator may do, and what a
// user who may edit the DrainPolicies of one namespace gains by that.
package security

import (
	"context"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	operatorName = "system:serviceaccount:" + framework.OperatorNamespace + ":drain-operator"
	user         = "developer"
)

var env *framework.Environment

func TestSecurity(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Security")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	env, err = framework.Start(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
})

// as is a client of somebody else.
func as(name string, groups ...string) client.Client {
	GinkgoHelper()
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: framework.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// operator is a client with the rights of the operator, as the API server
// would see it.
func operator() client.Client {
	GinkgoHelper()
	return as(operatorName, "system:serviceaccounts", "system:serviceaccounts:"+framework.OperatorNamespace, "system:authenticated")
}

// may says whether somebody may do something, by RBAC.
func may(ctx context.Context, name, namespace, verb, group, resource, subresource, object string) bool {
	GinkgoHelper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: name,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: object,
		},
	}}
	Expect(env.Client.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// developerOf makes a namespace in which a user has what the API server's role
// edit and the operator's policy-editor give. No controller runs here that
// would gather the two in edit, so both are bound.
func developerOf(ctx context.Context, name string) (namespace string) {
	GinkgoHelper()
	namespace, err := env.Namespace(ctx, nil)
	Expect(err).NotTo(HaveOccurred())
	for _, role := range []string{"system:aggregate-to-edit", "system:aggregate-to-view", "drain-operator-policy-editor"} {
		Expect(env.Client.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "developer-"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
		})).To(Succeed())
	}
	Eventually(may).WithArguments(ctx, name, namespace, "create", v1alpha1.GroupVersion.Group, "drainpolicies", "", "").Should(BeTrue())
	Eventually(may).WithArguments(ctx, name, namespace, "create", "", "pods", "", "").Should(BeTrue())
	return namespace
}

func newPolicy(namespace string) *v1alpha1.DrainPolicy {
	return &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-"},
		Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{}},
	}
}

func newPod(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "web-", Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/web:1"}}},
	}
}

// everyVerb that RBAC knows for resources.
var everyVerb = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}

// verbs that somebody has.
func verbs(ctx context.Context, name, namespace, group, resource, subresource, object string) []string {
	GinkgoHelper()
	return slices.DeleteFunc(slices.Clone(everyVerb), func(verb string) bool {
		return !may(ctx, name, namespace, verb, group, resource, subresource, object)
	})
}
