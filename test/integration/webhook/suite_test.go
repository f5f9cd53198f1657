package webhook

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

var (
	env      *framework.Environment
	binary   string
	operator *framework.Operator
	scraper  string // token of somebody who may read metrics
)

func TestWebhook(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	SetDefaultConsistentlyDuration(time.Second)
	RunSpecs(t, "Webhook")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	env, err = framework.Start(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
	binary, err = framework.Binary(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	scraper = mayReadMetrics(ctx)
	operator = start(ctx)
})

// start runs a replica until the end of the spec, or of the suite, and waits
// until it is ready.
func start(ctx context.Context, flags ...string) *framework.Operator {
	GinkgoHelper()
	replica, err := env.Run(ctx, binary, GinkgoT().TempDir(), GinkgoWriter, flags...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(replica.Stop()).To(Succeed()) })
	Eventually(replica.Ready).Should(Succeed())
	return replica
}

func mayReadMetrics(ctx context.Context) string {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "scraper"}}
	Expect(env.Client.Create(ctx, account)).To(Succeed())
	Expect(env.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drain-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "scraper"}},
	})).To(Succeed())
	token, err := env.Token(ctx, "default", "scraper")
	Expect(err).NotTo(HaveOccurred())
	return token
}
