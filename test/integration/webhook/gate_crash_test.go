package webhook

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Ordered, on an API server of its own: the replica reaches it by way of
// something that can keep what it writes to pods.
var _ = Describe("A replica that dies between its answer and its record", Ordered, func() {
	var (
		own     cluster
		clients *kubernetes.Clientset
		way     *narrow
		replica *framework.Operator
		policy  *v1alpha1.DrainPolicy
		pod     *corev1.Pod
	)

	running := func(ctx context.Context) *framework.Operator {
		GinkgoHelper()
		return own.run(ctx, "--kubeconfig="+way.kubeconfig(ctx, own))
	}
	remove := func(ctx context.Context) error {
		return clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
	}
	current := func(ctx context.Context) *corev1.Pod {
		GinkgoHelper()
		now := &corev1.Pod{}
		Expect(own.Client.Get(ctx, client.ObjectKeyFromObject(pod), now)).To(Succeed())
		return now
	}

	BeforeAll(func(ctx context.Context) {
		own = startCluster(ctx)
		var err error
		clients, err = kubernetes.NewForConfig(own.Config)
		Expect(err).NotTo(HaveOccurred())
		way = narrowWay(own.Config)
		policy = own.policy(ctx, own.namespace(ctx, nil), "web", holdsForLong)
		replica = running(ctx)
		own.eventuallyInjects(ctx, policy)
		own.answered(ctx, policy)
		pod = own.heldPod(ctx, policy)
	})

	It("loses the record", func(ctx context.Context) {
		free := way.keep()
		Expect(remove(ctx)).To(refused)
		Eventually(way.kept).Should(BeNumerically(">=", 1), "nothing is being written")
		Expect(replica.Kill()).To(Succeed())
		free()
		Consistently(func() bool { _, wished := drain.WishOf(current(ctx)); return wished }, "1s").Should(BeFalse())
		Expect(current(ctx).DeletionTimestamp).To(BeNil())
		Expect(inRotation(current(ctx))).To(Equal(corev1.ConditionTrue), "it goes on as if nobody had asked")
	})

	It("is made up for by whoever asks again", func(ctx context.Context) {
		running(ctx)
		// The deletion passes while nobody answers: this is about one that did not.
		Eventually(func() error { return own.Client.Delete(ctx, pod, client.DryRunAll) }).Should(refused)
		Expect(remove(ctx)).To(refused)
		Expect(own.eventuallyWished(ctx, pod).Kind).To(Equal(drain.Delete))
	})

	// With the rights of the operator, as the hook of an uninstall has them.
	It("lets go of what is held before an uninstall, and refuses nothing more", func(ctx context.Context) {
		running(ctx)
		Eventually(func() (bool, error) { // until it leads
			pod := webPod(policy.Namespace)
			err := own.Client.Create(ctx, pod, client.DryRunAll)
			return hasGate(pod), err
		}).Should(BeTrue())
		other := own.heldPod(ctx, policy)
		command := exec.CommandContext(ctx, binary, "release", "--namespace="+framework.OperatorNamespace, "--kubeconfig="+way.kubeconfig(ctx, own))
		output, err := command.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(output))
		Expect(string(output)).To(ContainSubstring("no pod is held"))
		Expect(string(output)).NotTo(ContainSubstring("from here"), "the operator did it")
		Expect(current(ctx).DeletionTimestamp).NotTo(BeNil(), "it was asked for")
		Expect(own.Client.Delete(ctx, other)).To(Succeed())
		after := own.runningPod(ctx, policy.Namespace)
		Expect(hasGate(after)).To(BeFalse(), "nobody may be there to set it")
	})
})

// narrow is a way to an API server on which writes to pods can be kept.
type narrow struct {
	server *httptest.Server
	next   http.Handler

	mu      sync.Mutex
	open    chan struct{} // closed while nothing is kept
	waiting int
}

// narrowWay is open until the end of the node.
func narrowWay(config *rest.Config) *narrow {
	GinkgoHelper()
	host, err := url.Parse(config.Host)
	Expect(err).NotTo(HaveOccurred())
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	Expect(err).NotTo(HaveOccurred())
	n := &narrow{
		next: &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(host) },
			Transport:     transport,
			FlushInterval: -1, // watches
			ErrorHandler:  func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
		},
		open: make(chan struct{}),
	}
	close(n.open)
	// Clients give no token to who does not prove who it is.
	n.server = httptest.NewTLSServer(n)
	DeferCleanup(func() {
		n.server.CloseClientConnections()
		n.server.Close()
	})
	return n
}

func (n *narrow) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/pods/") {
		n.mu.Lock()
		open := n.open
		n.waiting++
		n.mu.Unlock()
		select {
		case <-open:
		case <-r.Context().Done():
		}
		n.mu.Lock()
		n.waiting--
		n.mu.Unlock()
		if r.Context().Err() != nil {
			return
		}
	}
	n.next.ServeHTTP(rw, r)
}

// keep keeps writes to pods until free is called.
func (n *narrow) keep() (free func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	open := make(chan struct{})
	n.open = open
	return sync.OnceFunc(func() { close(open) })
}

// kept is how many writes are kept now.
func (n *narrow) kept() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waiting
}

// kubeconfig of the operator by this way.
func (n *narrow) kubeconfig(ctx context.Context, c cluster) string {
	GinkgoHelper()
	token, err := c.Token(ctx, framework.OperatorNamespace, "drain-operator")
	Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {
			Server:                   n.server.URL,
			CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.server.Certificate().Raw}),
		}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, path)).To(Succeed())
	return path
}
