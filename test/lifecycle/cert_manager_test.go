package lifecycle

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/certs"
	"github.com/drain-operator/drain-operator/internal/registration"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	integration "github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	webhookSecret = "drain-operator-webhook-cert"
	caSecret      = "drain-operator-ca"
)

// cert-manager runs beside the cluster, with its controllers' own code and an
// administrator's rights ($CERT_MANAGER names the program).
var _ = It("has cert-manager make its certificate, renew it and replace its CA without a pod missed", Label("cert-manager"), func(ctx SpecContext) {
	startCertManager(ctx)
	operatorNamespaceFor(ctx)

	By("installing")
	helm(ctx, "install", "drain-operator", chart, "--set", "certManager.enabled=true",
		"--set", "certificate.validity=1h", "--set", "certificate.overlap=3s", "--wait", "--timeout=3m")
	Expect(helm(ctx, "test", "drain-operator")).To(ContainSubstring("Succeeded"))
	ns := env.NewNamespace(ctx, nil)
	ns.Apply(ctx, framework.Policy("web"))
	ns.AwaitCondition(ctx, "web", v1alpha1.ConditionReady, metav1.ConditionTrue)
	first := awaitShown(ctx, nil)
	Expect(published(ctx)).To(HaveEach(ConsistOf(caOf(ctx))))
	pods := createPods(ctx, ns)

	By("renewing the certificate under its CA")
	remove(ctx, webhookSecret)
	second := awaitShown(ctx, first)
	Expect(second.CheckSignatureFrom(caOf(ctx))).To(Succeed())
	Expect(published(ctx)).To(HaveEach(ConsistOf(caOf(ctx))))

	By("replacing the CA")
	old := caOf(ctx)
	remove(ctx, caSecret)
	Eventually(func() ([]byte, error) { return secretData(ctx, caSecret, "tls.crt") }).
		WithTimeout(time.Minute).ShouldNot(Or(BeEmpty(), ContainSubstring(string(encoded(old)))))
	remove(ctx, webhookSecret)
	Eventually(func() ([]*x509.Certificate, error) { return union(published(ctx)) }).
		WithContext(ctx).WithTimeout(time.Minute).Should(HaveLen(2), "old and new CA")
	third := awaitShown(ctx, second)
	Expect(third.CheckSignatureFrom(old)).NotTo(Succeed())
	Eventually(func() ([]*x509.Certificate, error) { return union(published(ctx)) }).
		WithContext(ctx).WithTimeout(time.Minute).Should(ConsistOf(caOf(ctx)), "the new CA alone")
	Expect(third.CheckSignatureFrom(caOf(ctx))).To(Succeed())
	Expect(helm(ctx, "test", "drain-operator")).To(ContainSubstring("Succeeded"))

	pods.expectAllInjected(200)
	for _, pod := range operatorPods(ctx) {
		Expect(pod.Status.ContainerStatuses[0].RestartCount).To(BeZero())
	}

	By("uninstalling")
	helm(ctx, "uninstall", "drain-operator", "--wait", "--timeout=3m")
	Eventually(leftovers).WithContext(ctx).WithTimeout(time.Minute).WithPolling(time.Second).Should(BeEmpty())
}, SpecTimeout(8*time.Minute))

// startCertManager runs it until the end of the spec, and its API with it.
func startCertManager(ctx context.Context) {
	GinkgoHelper()
	program := os.Getenv("CERT_MANAGER")
	if program == "" {
		Skip("CERT_MANAGER names no program: make test-cert-manager")
	}
	module, err := integration.ModuleDir(ctx, "hack/cert-manager", "github.com/cert-manager/cert-manager")
	Expect(err).NotTo(HaveOccurred())
	crds := filepath.Join(module, "deploy", "crds")
	output, err := env.Kubectl(ctx, "apply", "--server-side", "-f", crds)
	Expect(err).NotTo(HaveOccurred(), output)
	DeferCleanup(func(ctx context.Context) {
		output, err := env.Kubectl(ctx, "delete", "--ignore-not-found", "-f", crds)
		Expect(err).NotTo(HaveOccurred(), output)
	})
	output, err = env.Kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "-f", crds)
	Expect(err).NotTo(HaveOccurred(), output)

	manager := exec.Command(program)
	manager.Stdout, manager.Stderr = GinkgoWriter, GinkgoWriter
	Expect(manager.Start()).To(Succeed())
	DeferCleanup(func() {
		Expect(manager.Process.Signal(syscall.SIGTERM)).To(Succeed())
		_ = manager.Wait() // it was told to end
	})
}

func remove(ctx context.Context, secret string) {
	GinkgoHelper()
	Expect(env.Client.Delete(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: secret}})).To(Succeed())
}

func secretData(ctx context.Context, name, key string) ([]byte, error) {
	var secret corev1.Secret
	err := env.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &secret)
	return secret.Data[key], client.IgnoreNotFound(err)
}

// caOf is the CA that the webhook's certificate came with.
func caOf(ctx context.Context) *x509.Certificate {
	GinkgoHelper()
	data, err := secretData(ctx, webhookSecret, certs.KeyBundle)
	Expect(err).NotTo(HaveOccurred())
	cas, err := certutil.ParseCertsPEM(data)
	Expect(err).NotTo(HaveOccurred())
	return cas[0]
}

func encoded(ca *x509.Certificate) []byte {
	GinkgoHelper()
	data, err := certutil.EncodeCertificates(ca)
	Expect(err).NotTo(HaveOccurred())
	return data
}

// published are the CAs that each registered webhook tells API servers to trust.
func published(ctx context.Context) ([][]*x509.Certificate, error) {
	var configuration admissionv1.MutatingWebhookConfiguration
	if err := env.Client.Get(ctx, client.ObjectKey{Name: registration.ConfigurationName}, &configuration); err != nil {
		return nil, err
	}
	var all [][]*x509.Certificate
	for _, bundle := range registration.PublishedBundles(&configuration) {
		cas, err := certutil.ParseCertsPEM(bundle)
		if err != nil {
			return nil, err
		}
		all = append(all, cas)
	}
	return all, nil
}

// union has each CA once.
func union(all [][]*x509.Certificate, err error) ([]*x509.Certificate, error) {
	var cas []*x509.Certificate
	for _, ca := range slices.Concat(all...) {
		if !slices.ContainsFunc(cas, ca.Equal) {
			cas = append(cas, ca)
		}
	}
	return cas, err
}

func operatorPods(ctx context.Context) []corev1.Pod {
	GinkgoHelper()
	var pods corev1.PodList
	Expect(env.Client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "drain-operator"})).To(Succeed())
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return !strings.HasPrefix(pod.GenerateName, "drain-operator-") })
}

// awaitShown waits until all replicas show the same certificate, another than
// before.
func awaitShown(ctx context.Context, before *x509.Certificate) *x509.Certificate {
	GinkgoHelper()
	pods := operatorPods(ctx)
	Expect(pods).To(HaveLen(2))
	var all []*x509.Certificate
	Eventually(func(g Gomega) {
		all = nil
		for _, pod := range pods {
			all = append(all, shownBy(ctx, g, pod.Name))
		}
		g.Expect(all[0].Equal(all[1])).To(BeTrue(), "replicas show different certificates")
		g.Expect(before).NotTo(Equal(all[0]), "both show the one of before")
	}).WithContext(ctx).WithTimeout(time.Minute).WithPolling(500 * time.Millisecond).Should(Succeed())
	return all[0]
}

var forwarded = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// shownBy is the certificate that a replica shows.
func shownBy(ctx context.Context, g Gomega, pod string) *x509.Certificate {
	GinkgoHelper()
	forward := exec.CommandContext(ctx, "kubectl", "port-forward", "--namespace", namespace, "pod/"+pod, ":9443")
	stdout, err := forward.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(forward.Start()).To(Succeed())
	defer func() {
		_ = forward.Process.Kill() // it has done its work
		_ = forward.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // looked at only
	connection, err := dialer.DialContext(ctx, "tcp", forwarded.FindString(line))
	g.Expect(err).NotTo(HaveOccurred(), line)
	defer func() { _ = connection.Close() }()
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0]
}

// creations are pods that are created, as dry runs, one after the other.
type creations struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	total  int
	missed []string
}

func createPods(ctx context.Context, ns *framework.Namespace) *creations {
	ctx, stop := context.WithCancel(ctx)
	c := &creations{stop: stop}
	DeferCleanup(stop)
	pod := framework.Pod("web").Obj()
	pod.Namespace = ns.Name
	c.done.Go(func() {
		for ctx.Err() == nil {
			trial, at := pod.DeepCopy(), time.Now()
			err := env.Client.Create(ctx, trial, client.DryRunAll)
			if ctx.Err() != nil {
				return
			}
			c.total++
			if err != nil || !framework.Injected(trial) {
				c.missed = append(c.missed, fmt.Sprintf("%s: %v", at.Format(time.TimeOnly+".000"), err))
			}
			time.Sleep(10 * time.Millisecond) // a rate, not a wait
		}
	})
	return c
}

// expectAllInjected ends it.
func (c *creations) expectAllInjected(atLeast int) {
	GinkgoHelper()
	c.stop()
	c.done.Wait()
	AddReportEntry("pods created meanwhile", fmt.Sprintf("%d, %d of them not injected", c.total, len(c.missed)))
	Expect(c.missed).To(BeEmpty())
	Expect(c.total).To(BeNumerically(">=", atLeast))
}
