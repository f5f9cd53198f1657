package webhook

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"maps"
	"math/big"
	"net"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Ordered, on an API server of its own: the Secret is what cert-manager would
// make of it, which writes such a Secret and nothing else.
var _ = Describe("With a certificate that somebody else makes", Ordered, func() {
	var (
		own     cluster
		policy  *v1alpha1.DrainPolicy
		replica *framework.Operator
		ca      authority
	)

	BeforeAll(func(ctx context.Context) {
		own, ca = startCluster(ctx), newAuthority()
		policy = own.policy(ctx, own.namespace(ctx, nil), "web", nil)
		var err error
		replica, err = own.Run(ctx, binary, GinkgoT().TempDir(), GinkgoWriter, "--cert-source=Secret", "--cert-overlap=1s")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(replica.Stop()).To(Succeed()) })
	})

	It("is not ready before there is one, and makes none", func(ctx context.Context) {
		Eventually(replica.Ready).Should(MatchError(And(ContainSubstring("[-]certificate failed"), ContainSubstring("[+]cache ok"))))
		Expect(own.Client.Get(ctx, secretName, &corev1.Secret{})).NotTo(Succeed())
	})

	It("serves it", func(ctx context.Context) {
		own.give(ctx, ca, ca.sign())
		Eventually(replica.Ready).Should(Succeed())
		own.eventuallyInjects(ctx, policy)
		registered, err := own.registered(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(registered.Webhooks[0].ClientConfig.CABundle).To(Equal(ca.bundle()))
	})

	It("serves renewals without missing a pod, and without a restart", func(ctx context.Context) {
		created := 0
		for range 5 {
			next := ca.sign()
			own.give(ctx, ca, next)
			Eventually(func() *big.Int {
				by, err := own.injectedBy(ctx, policy.Namespace)
				Expect(err).NotTo(HaveOccurred())
				Expect(by).To(Equal("web/1"), "after %d pods", created)
				created++
				return served(replica)
			}).Should(Equal(next.serial))
		}
		AddReportEntry("pods created during five renewals", created)
		Expect(replica.Ended()).To(BeFalse())
	})

	DescribeTable("goes on with the one that it has when the Secret is no good",
		func(ctx context.Context, bad func(good map[string][]byte)) {
			before := served(replica)
			good := secret(ctx, own).Data
			damaged := maps.Clone(good)
			bad(damaged)
			own.write(ctx, damaged)
			Consistently(func(g Gomega) {
				g.Expect(served(replica)).To(Equal(before))
				g.Expect(own.injectedBy(ctx, policy.Namespace)).To(Equal("web/1"))
				g.Expect(own.bundles(ctx)).To(HaveEach(ca.bundle()))
			}, "1s").Should(Succeed())
			own.write(ctx, good)
		},
		Entry("another's CA", func(data map[string][]byte) { data[certs.KeyBundle] = newAuthority().bundle() }),
		Entry("no CA", func(data map[string][]byte) { data[certs.KeyBundle] = nil }),
		Entry("another's key", func(data map[string][]byte) { data[certs.KeyKey] = ca.sign().key }),
		Entry("another's certificate", func(data map[string][]byte) {
			made := newAuthority().sign()
			data[certs.KeyCert], data[certs.KeyKey] = made.cert, made.key
		}),
	)

	It("takes up another CA without missing a pod, and lets go of the old one", func(ctx context.Context) {
		created := 0
		for range 3 {
			before := ca
			ca = newAuthority()
			next := ca.sign()
			own.give(ctx, ca, next)
			injected := func() {
				by, err := own.injectedBy(ctx, policy.Namespace)
				Expect(err).NotTo(HaveOccurred())
				Expect(by).To(Equal("web/1"), "after %d pods", created)
				created++
			}
			Eventually(func() *big.Int {
				injected()
				return served(replica)
			}).Should(Equal(next.serial))
			Expect(own.bundles(ctx)).To(HaveEach(And(ContainSubstring(string(before.bundle())), ContainSubstring(string(ca.bundle())))))
			Eventually(func() ([][]byte, error) {
				injected()
				return own.bundles(ctx)
			}).Should(HaveEach(ca.bundle()))
		}
		AddReportEntry("pods created during three changes of the CA", created)
		Expect(replica.Ended()).To(BeFalse())
	})

	It("has written nothing into the Secret", func(ctx context.Context) {
		for _, entry := range secret(ctx, own).ManagedFields {
			Expect(entry.Manager).To(Equal("cert-manager"))
		}
	})
})

// authority signs certificates for the replica.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// signed is a certificate with its key, as PEM.
type signed struct {
	cert, key []byte
	serial    *big.Int
}

func newAuthority() authority {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: "somebody else"}, key)
	Expect(err).NotTo(HaveOccurred())
	return authority{cert, key}
}

func (a authority) bundle() []byte {
	GinkgoHelper()
	bundle, err := certutil.EncodeCertificates(a.cert)
	Expect(err).NotTo(HaveOccurred())
	return bundle
}

func (a authority) sign() signed {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	Expect(err).NotTo(HaveOccurred())
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "webhook"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, a.cert, key.Public(), a.key)
	Expect(err).NotTo(HaveOccurred())
	cert, err := x509.ParseCertificate(raw)
	Expect(err).NotTo(HaveOccurred())
	encoded, err := certutil.EncodeCertificates(cert)
	Expect(err).NotTo(HaveOccurred())
	private, err := keyutil.MarshalPrivateKeyToPEM(key)
	Expect(err).NotTo(HaveOccurred())
	return signed{encoded, private, serial}
}

func (c cluster) give(ctx context.Context, ca authority, made signed) {
	GinkgoHelper()
	c.write(ctx, map[string][]byte{certs.KeyCert: made.cert, certs.KeyKey: made.key, certs.KeyBundle: ca.bundle()})
}

// write writes the Secret as cert-manager does: applied, of the TLS type.
func (c cluster) write(ctx context.Context, data map[string][]byte) {
	GinkgoHelper()
	Expect(c.Client.Patch(ctx, &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: secretName.Namespace, Name: secretName.Name},
		Type:       corev1.SecretTypeTLS,
		Data:       data,
	}, client.Apply, client.FieldOwner("cert-manager"), client.ForceOwnership)).To(Succeed()) //nolint:staticcheck // a whole object is at hand
}

// bundles are the CA bundles of the registered webhooks.
func (c cluster) bundles(ctx context.Context) ([][]byte, error) {
	configuration, err := c.registered(ctx)
	if err == nil && len(configuration.Webhooks) == 0 {
		err = errors.New("no webhook is registered")
	}
	return registration.PublishedBundles(configuration), err
}

// served is the serial number of the certificate that a replica shows.
func served(replica *framework.Operator) *big.Int {
	GinkgoHelper()
	connection, err := tls.Dial("tcp", strings.TrimPrefix(replica.WebhookURL, "https://"), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // looked at only
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = connection.Close() }()
	return connection.ConnectionState().PeerCertificates[0].SerialNumber
}
