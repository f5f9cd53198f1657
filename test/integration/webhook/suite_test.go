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
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

var (
	binary   string
	shared   cluster             // specs use a namespace of their own of it
	operator *framework.Operator // the one replica that serves it
	scraper  string              // token of somebody who may read its metrics
)

func TestWebhook(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(60 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	RunSpecs(t, "Webhook")
}

var _ = BeforeSuite(func(ctx context.Context) {
	logf.SetLogger(GinkgoLogr)
	var err error
	binary, err = framework.Binary(ctx, GinkgoT().TempDir())
	Expect(err).NotTo(HaveOccurred())
	shared = startCluster(ctx)
	scraper = mayReadMetrics(ctx, shared)
	operator = shared.run(ctx, "--avoid-emptydir=false", "--excluded-namespaces=left-alone")
})

// startCluster brings an API server up until the end of the node.
func startCluster(ctx context.Context) cluster {
	GinkgoHelper()
	env, err := framework.Start(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
	return cluster{env}
}

// run runs a replica until the end of the node, and waits until it is ready.
func (c cluster) run(ctx context.Context, flags ...string) *framework.Operator {
	GinkgoHelper()
	replica, err := c.Run(ctx, binary, GinkgoT().TempDir(), GinkgoWriter, flags...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(replica.Stop()).To(Succeed()) })
	Eventually(replica.Ready).Should(Succeed())
	return replica
}

func mayReadMetrics(ctx context.Context, c cluster) string {
	GinkgoHelper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "scraper"}}
	Expect(c.Client.Create(ctx, account)).To(Succeed())
	Expect(c.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drain-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "scraper"}},
	})).To(Succeed())
	token, err := c.Token(ctx, "default", "scraper")
	Expect(err).NotTo(HaveOccurred())
	return token
}
