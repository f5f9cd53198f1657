package webhook

import (
	"bytes"
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Ordered, on an API server of its own: the operator comes and goes.
var _ = Describe("With an operator that comes and goes", Ordered, func() {
	var (
		own    cluster
		policy *v1alpha1.DrainPolicy
	)

	BeforeAll(func(ctx context.Context) {
		own = startCluster(ctx)
		policy = own.policy(ctx, own.namespace(ctx, nil), "web", nil)
	})

	// takes is how long the creation of a pod takes, and whether it was injected.
	takes := func(ctx context.Context) (time.Duration, bool) {
		GinkgoHelper()
		before := time.Now()
		pod := own.pod(ctx, policy.Namespace, nil)
		return time.Since(before), pod.Labels[v1alpha1.LabelInjected] == "true"
	}

	It("injects from the start when two replicas start at once", func(ctx context.Context) {
		var replicas []*framework.Operator
		for range 2 {
			replica, err := own.Run(ctx, binary, GinkgoT().TempDir(), GinkgoWriter)
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { Expect(replica.Stop()).To(Succeed()) })
			replicas = append(replicas, replica)
		}
		for _, replica := range replicas {
			Eventually(replica.Ready).Should(Succeed(), "the one that does not lead, too")
		}
		own.eventuallyInjects(ctx, policy)

		// The standby takes over with the certificate that is there, and
		// registers its own address, at once: the lease is released.
		before := secret(ctx, own).Data[certs.KeyCert]
		Expect(replicas[leader(ctx, own, replicas)].Stop()).To(Succeed())
		own.eventuallyInjects(ctx, policy)
		Expect(secret(ctx, own).Data[certs.KeyCert]).To(Equal(before))
	})

	It("creates pods without the operator, as their owner wrote them", func(ctx context.Context) {
		registered, err := own.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(registered.Webhooks).To(HaveLen(1), "the webhook is registered, and nobody answers")
		took, injected := takes(ctx)
		Expect(injected).To(BeFalse())
		Expect(took).To(BeNumerically("<", 2*time.Second))
		Expect(own.apiServerMetrics(ctx)).To(ContainSubstring(`apiserver_admission_webhook_fail_open_count{name="inject.drain-operator.dev"`),
			"DrainOperatorWebhookUnanswered stands on this")
	})

	It("creates pods while the operator hangs", func(ctx context.Context) {
		replica := own.run(ctx)
		own.eventuallyInjects(ctx, policy)
		Expect(replica.Pause()).To(Succeed())
		took, injected := takes(ctx)
		Expect(replica.Resume()).To(Succeed())
		Expect(injected).To(BeFalse())
		Expect(took).To(BeNumerically(">=", 2*time.Second), "or it did not hang")
		Expect(took).To(BeNumerically("<", withoutTimeout))
		own.eventuallyInjects(ctx, policy)
	})

	It("rotates its certificate without missing a pod", func(ctx context.Context) {
		Expect(own.Client.Delete(ctx, secret(ctx, own))).To(Succeed())
		replica := own.run(ctx, "--cert-validity=36s", "--cert-overlap=2s")
		own.eventuallyInjects(ctx, policy)
		seen := [][]byte{secret(ctx, own).Data[certs.KeyCert]}
		created := 0
		Eventually(func(g Gomega) int {
			by, err := own.injectedBy(ctx, policy.Namespace)
			Expect(err).NotTo(HaveOccurred())
			Expect(by).To(Equal("web/1"), "after %d pods", created)
			created++
			if current := secret(ctx, own).Data[certs.KeyCert]; !bytes.Equal(current, seen[len(seen)-1]) {
				seen = append(seen, current)
			}
			return len(seen)
		}, "180s").Should(Equal(3), "two rotations")
		AddReportEntry("pods created during two rotations", created)
		Expect(replica.Ended()).To(BeFalse(), "reloaded without a restart")
	})

	It("makes a new certificate when the Secret is lost or broken", func(ctx context.Context) {
		own.run(ctx)
		own.eventuallyInjects(ctx, policy)
		Expect(own.Client.Delete(ctx, secret(ctx, own))).To(Succeed())
		Eventually(func() error {
			return own.Client.Get(ctx, secretName, &corev1.Secret{})
		}).Should(Succeed())
		own.eventuallyInjects(ctx, policy)

		broken := secret(ctx, own)
		broken.Data[certs.KeyCert] = []byte("not a certificate")
		Expect(own.Client.Update(ctx, broken)).To(Succeed())
		Eventually(func() []byte { return secret(ctx, own).Data[certs.KeyCert] }).ShouldNot(Equal(broken.Data[certs.KeyCert]))
		own.eventuallyInjects(ctx, policy)
	})

	It("ends with exit code 0 when it is asked to", func(ctx context.Context) {
		replica := own.run(ctx)
		Expect(replica.Stop()).To(Succeed())
		ended, code := replica.Ended()
		Expect(ended).To(BeTrue())
		Expect(code).To(BeZero())
	})

	It("says what is wrong with its flags, and ends", func(ctx context.Context) {
		var log bytes.Buffer
		replica, err := own.Run(ctx, binary, GinkgoT().TempDir(), &log, "--agent-image=agent:latest", "--webhook-port=0")
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() bool { ended, _ := replica.Ended(); return ended }).Should(BeTrue())
		_, code := replica.Ended()
		Expect(code).To(Equal(1))
		Expect(log.String()).To(And(ContainSubstring("--agent-image must be a reference by digest"), ContainSubstring("--webhook-port must be from 1 to 65535")))
	})
})

var secretName = types.NamespacedName{Namespace: framework.OperatorNamespace, Name: "drain-operator-webhook-cert"}

func secret(ctx context.Context, c cluster) *corev1.Secret {
	GinkgoHelper()
	found := &corev1.Secret{}
	Expect(c.Client.Get(ctx, secretName, found)).To(Succeed())
	return found
}

// leader is the index of the replica whose address is registered.
func leader(ctx context.Context, c cluster, replicas []*framework.Operator) int {
	GinkgoHelper()
	registered, err := c.registered(ctx)
	Expect(err).NotTo(HaveOccurred())
	for i, replica := range replicas {
		if *registered.Webhooks[0].ClientConfig.URL == replica.WebhookURL+"/inject" {
			return i
		}
	}
	Fail("no replica leads")
	return -1
}
