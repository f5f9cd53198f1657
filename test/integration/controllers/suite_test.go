// Package controllers_test runs the controllers against a real API server. No
// kubelet runs there: the tests play its part.
package controllers_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/controllers"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/probe"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	"github.com/drain-operator/drain-operator/internal/write"
)

const agentImage = "registry.example.com/drain-agent@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var (
	scheme  = runtime.NewScheme()
	cluster *rest.Config
	api     client.WithWatch
)

func TestControllers(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS must name a folder with kube-apiserver and etcd")
	}
	RegisterFailHandler(Fail)
	RunSpecs(t, "Controllers")
}

var _ = BeforeSuite(func(ctx SpecContext) {
	logf.SetLogger(zap.New(zap.WriteTo(GinkgoWriter), zap.UseDevMode(true)))
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	environment := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "..", "config", "crd", "drain-operator.dev_drainpolicies.yaml")},
		ErrorIfCRDPathMissing: true,
		// envtest's own 20 s is short for a machine that does much else.
		ControlPlaneStartTimeout: 2 * time.Minute,
	}
	var err error
	cluster, err = environment.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(environment.Stop)
	cluster.QPS, cluster.Burst = 1000, 1000
	api, err = client.NewWithWatch(cluster, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(2*time.Minute))

// newNamespace is one for a single spec.
func newNamespace(ctx context.Context) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Expect(api.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// replica is one of the operator's, with its controllers alone.
type replica struct {
	metrics *prometheus.Registry
	elected <-chan struct{}
	wire    *wire
	stop    context.CancelFunc
	ended   chan error
}

// startReplica starts one that competes for the lease of the namespace.
func startReplica(ctx context.Context, lease string) *replica {
	GinkgoHelper()
	r := &replica{metrics: prometheus.NewRegistry(), wire: &wire{}, ended: make(chan error, 1)}
	connection := rest.CopyConfig(cluster)
	connection.Wrap(r.wire.wrap)
	manager, err := ctrl.NewManager(connection, ctrl.Options{
		Scheme:                  scheme,
		Metrics:                 metricsserver.Options{BindAddress: "0"},
		Controller:              config.Controller{SkipNameValidation: ptr.To(true)},
		LeaderElection:          true,
		LeaderElectionID:        "drain-operator",
		LeaderElectionNamespace: lease,
		LeaseDuration:           ptr.To(12 * time.Second), // which a standby waits for
		RenewDeadline:           ptr.To(10 * time.Second), // without an answer a leader ends, and most specs have but one
		RetryPeriod:             ptr.To(250 * time.Millisecond),
		GracefulShutdownTimeout: ptr.To(time.Duration(0)),
	})
	Expect(err).NotTo(HaveOccurred())
	drains, err := telemetry.NewDrains(r.metrics)
	Expect(err).NotTo(HaveOccurred())
	graces, err := telemetry.NewGraces(r.metrics)
	Expect(err).NotTo(HaveOccurred())
	holds, err := telemetry.NewHolds(r.metrics)
	Expect(err).NotTo(HaveOccurred())
	pods, err := corev1client.NewForConfig(connection)
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(ctx)
	r.stop, r.elected = stop, manager.Elected()
	Expect(controllers.Setup(running, manager, controllers.Options{
		Plan:       func() plan.Options { return plan.Options{AgentImage: agentImage, Delivery: plan.ImageVolume} },
		Metrics:    drains,
		Graces:     graces,
		Clock:      clock.RealClock{},
		Observer:   func(*v1alpha1.DrainPolicy) observe.Observer { return blind{} },
		LookPeriod: time.Second,
		Hold: controllers.HoldOptions{
			Policy:               policyFrom(manager.GetClient()),
			NamespaceTerminating: func(context.Context, string) (bool, error) { return false, nil },
			Releasing:            func() bool { return false },
			Pods:                 write.New(pods),
			Prober:               probe.New(probe.Options{Loopback: true}),
			Metrics:              holds,
		},
	})).To(Succeed())
	go func() { r.ended <- manager.Start(running) }()
	DeferCleanup(r.kill)
	return r
}

// policyFrom reads a policy, nil when there is none.
func policyFrom(c client.Reader) func(context.Context, string, string) (*v1alpha1.DrainPolicy, error) {
	return func(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error) {
		p := &v1alpha1.DrainPolicy{}
		err := c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, p)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return p, err
	}
}

// blind sees no latency.
type blind struct{}

func (blind) Observe(context.Context, observe.Target) (latency.Summary, error) {
	return latency.Summary{}, &observe.Failure{Reason: v1alpha1.ReasonNoData, Message: "nobody looks in this suite"}
}

// kill ends a replica as a crash does: nothing that it sends arrives any more,
// no answer reaches it, and its lease is not given back.
func (r *replica) kill() {
	r.wire.cut.Store(true)
	r.stop()
	if r.ended != nil {
		Eventually(r.ended).WithTimeout(20 * time.Second).Should(Receive())
		r.ended = nil
	}
}

// wire is a replica's connection to the API server.
type wire struct{ cut atomic.Bool }

var errCut = errors.New("the replica was killed")

func (w *wire) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if w.cut.Load() {
			return nil, errCut
		}
		response, err := next.RoundTrip(request)
		if err == nil && w.cut.Load() {
			_ = response.Body.Close()
			return nil, errCut
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
