package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/observe"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// Who makes the webhook's certificate.
const (
	certSourceOwn    = "Own"
	certSourceSecret = "Secret"
)

// deliveryAuto finds the delivery out from the nodes.
const deliveryAuto = "Auto"

// options are what the operator's owner decides.
type options struct {
	agentImage         string
	agentDelivery      string
	avoidEmptyDir      bool
	namespace          string
	owner              string
	excludedNamespaces []string
	webhookPort        int
	webhookURL         string
	certSource         string
	certValidity       time.Duration
	certOverlap        time.Duration
	healthAddress      string
	metricsAddress     string
	pprofAddress       string
	leaderElect        bool
	latencySources     string
	latencyPeriod      time.Duration
	nodeRemovalWait    time.Duration
	spotNotices        []string
	logging            zap.Options
}

// parseOptions reads the command line and checks it. It returns
// pflag.ErrHelp after it printed the help that was asked for.
func parseOptions(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("drain-operator", pflag.ContinueOnError)
	flags.SortFlags = false
	flags.Usage = func() { printHelp(flags) }
	o.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: there are only flags", flags.Arg(0))
	}
	return o, o.validate()
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.agentImage, "agent-image", "", "`image` of the drain agent, by digest: registry/name@sha256:... (required)")
	flags.StringVar(&o.agentDelivery, "agent-delivery", deliveryAuto, "`how` the agent gets into pods: ImageVolume, InitContainer, or Auto for an image volume where every Linux node can mount one")
	flags.BoolVar(&o.avoidEmptyDir, "avoid-emptydir", true, "give pods that a plain kubectl drain evicts the native sleep hook where the agent would need an emptyDir, which makes it refuse them")
	flags.StringVar(&o.namespace, "namespace", os.Getenv("POD_NAMESPACE"), "`namespace` of the operator itself (default: $POD_NAMESPACE)")
	flags.StringVar(&o.owner, "owner", "drain-operator", "`ClusterRole` that owns the webhook configurations: deleting it deletes them; empty when run outside a cluster")
	flags.StringSliceVar(&o.excludedNamespaces, "excluded-namespaces", nil, "further `namespaces` that are left alone whatever policies they hold, separated by commas")
	flags.IntVar(&o.webhookPort, "webhook-port", 9443, "`port` of the webhook server")
	flags.StringVar(&o.webhookURL, "webhook-url", "", "`https://host:port` where the API server reaches the webhook server, when that is not the Service drain-operator-webhook")
	flags.StringVar(&o.certSource, "cert-source", certSourceOwn, "`who` makes the webhook's certificate: Own for the operator, Secret for whoever writes the Secret "+certSecret+", as cert-manager")
	flags.DurationVar(&o.certValidity, "cert-validity", 365*24*time.Hour, "validity of the webhook's certificate; it is renewed when a third is left")
	flags.DurationVar(&o.certOverlap, "cert-overlap", 10*time.Minute, "least time between the steps of a certificate's rotation, and between a new CA and the first certificate of it")
	flags.StringVar(&o.healthAddress, "health-probe-address", ":8081", "`address` of /healthz and /readyz")
	flags.StringVar(&o.metricsAddress, "metrics-address", ":8443", "`address` of /metrics, served over TLS to those who may read it; 0 serves none")
	flags.StringVar(&o.pprofAddress, "pprof-address", "", "`address` of /debug/pprof, for anybody who can reach it: keep it on loopback, as 127.0.0.1:6060, and use kubectl port-forward; none when empty")
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "run the controllers in one replica at a time; every replica serves the webhook")
	flags.StringVar(&o.latencySources, "latency-sources", "", "`file` with the Prometheus servers that policies may name as sources of latency (see docs/latency-sources.md); none when empty")
	flags.DurationVar(&o.latencyPeriod, "latency-period", 30*time.Second, "time between two looks at the latency of a policy's pods")
	flags.DurationVar(&o.nodeRemovalWait, "node-removal-wait", 10*time.Minute, "how long whoever removes nodes waits for a pod, as the cluster autoscaler's --max-graceful-termination-sec; 0 when nobody does")
	flags.StringSliceVar(&o.spotNotices, "spot-notices", []string{
		"eks.amazonaws.com/capacityType=SPOT:120s",
		"karpenter.sh/capacity-type=spot:120s",
		"cloud.google.com/gke-spot=true:30s",
		"cloud.google.com/gke-preemptible=true:30s",
		"kubernetes.azure.com/scalesetpriority=spot:30s",
	}, "labels of nodes that may be taken away, and the notice that they get: `label=value:duration`, separated by commas")
	goFlags := flag.NewFlagSet("", flag.ContinueOnError)
	o.logging.BindFlags(goFlags)
	flags.AddGoFlagSet(goFlags)
	if kubeconfig := flag.Lookup("kubeconfig"); kubeconfig != nil {
		flags.AddGoFlag(kubeconfig)
	}
}

// byDigest is what a reference by digest ends in.
var byDigest = regexp.MustCompile(`^[^@\s]+@sha256:[0-9a-f]{64}$`)

// validate returns everything that is wrong at once.
func (o *options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(byDigest.MatchString(o.agentImage), "--agent-image must be a reference by digest, registry/name@sha256:<64 hex digits>, not %q", o.agentImage)
	check(slices.Contains([]string{deliveryAuto, string(plan.ImageVolume), string(plan.InitContainer)}, o.agentDelivery),
		"--agent-delivery must be Auto, ImageVolume or InitContainer, not %q", o.agentDelivery)
	check(len(validation.IsDNS1123Label(o.namespace)) == 0, "--namespace, or $POD_NAMESPACE, must name the operator's namespace, not %q", o.namespace)
	for _, name := range o.excludedNamespaces {
		check(len(validation.IsDNS1123Label(name)) == 0, "--excluded-namespaces: %q is not a namespace's name", name)
	}
	check(o.webhookPort > 0 && o.webhookPort < 65536, "--webhook-port must be from 1 to 65535, not %d", o.webhookPort)
	if o.pprofAddress != "" {
		_, _, err := net.SplitHostPort(o.pprofAddress)
		check(err == nil, "--pprof-address must be host:port, not %q", o.pprofAddress)
	}
	check(o.certSource == certSourceOwn || o.certSource == certSourceSecret, "--cert-source must be Own or Secret, not %q", o.certSource)
	check(o.certOverlap >= time.Second && o.certOverlap <= o.certValidity/10,
		"--cert-overlap must be at least 1s and at most a tenth of --cert-validity (%s), not %s", o.certValidity, o.certOverlap)
	check(o.latencyPeriod >= time.Second && o.latencyPeriod <= 10*time.Minute, "--latency-period must be from 1s to 10m, not %s", o.latencyPeriod)
	check(o.nodeRemovalWait == 0 || o.nodeRemovalWait >= time.Second, "--node-removal-wait must be 0 or at least 1s, not %s", o.nodeRemovalWait)
	if _, err := o.ceilings(); err != nil {
		errs = append(errs, err)
	}
	if _, err := o.webhookHost(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// webhookHost is the host of --webhook-url, empty when there is none.
func (o *options) webhookHost() (string, error) {
	if o.webhookURL == "" {
		return "", nil
	}
	parsed, err := url.Parse(o.webhookURL)
	if err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" || parsed.Path != "" || parsed.RawQuery != "" {
		return "", fmt.Errorf("--webhook-url must be https://host:port, not %q", o.webhookURL)
	}
	return parsed.Hostname(), nil
}

// sources of latency that the owner has configured.
func (o *options) sources() (observe.Sources, error) {
	if o.latencySources == "" {
		return observe.Sources{}, nil
	}
	sources, err := observe.LoadSources(o.latencySources)
	if err != nil {
		return nil, fmt.Errorf("--latency-sources: %w", err)
	}
	return sources, nil
}

// ceilings of the platform, as the owner describes it.
func (o *options) ceilings() (condition.Ceilings, error) {
	c := condition.Ceilings{NodeRemovalSeconds: wholeSeconds(o.nodeRemovalWait)}
	for _, written := range o.spotNotices {
		n, err := parseNotice(written)
		if err != nil {
			return condition.Ceilings{}, fmt.Errorf("--spot-notices must be label=value:duration, not %q: %w", written, err)
		}
		c.Notices = append(c.Notices, n)
	}
	return c, nil
}

func parseNotice(written string) (condition.Notice, error) {
	label, duration, _ := cutLast(written, ":")
	key, value, found := strings.Cut(label, "=")
	if !found {
		return condition.Notice{}, errors.New("there is no =")
	}
	if problems := slices.Concat(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)); len(problems) > 0 {
		return condition.Notice{}, errors.New(strings.Join(problems, "; "))
	}
	notice, err := time.ParseDuration(duration)
	if err != nil {
		return condition.Notice{}, err
	}
	if notice < time.Second || notice > 24*time.Hour {
		return condition.Notice{}, errors.New("the notice must be from 1s to 24h")
	}
	return condition.Notice{Label: key, Value: value, Seconds: wholeSeconds(notice)}, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	at := strings.LastIndex(s, sep)
	if at < 0 {
		return s, "", false
	}
	return s[:at], s[at+len(sep):], true
}

func wholeSeconds(d time.Duration) int32 {
	return int32(min(d/time.Second, math.MaxInt32)) //nolint:gosec // bounded
}

// hosts are the names that the webhook's certificate is for.
func (o *options) hosts() []string {
	service := webhookService + "." + o.namespace
	hosts := []string{service + ".svc", service + ".svc.cluster.local"}
	if host, err := o.webhookHost(); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	return hosts
}

// calledHosts are those of them by which API servers call: a Service by its
// shortest name.
func (o *options) calledHosts() []string {
	hosts := o.hosts()
	if o.webhookURL != "" {
		return hosts[len(hosts)-1:]
	}
	return hosts[:1]
}

// planOptions are the options of every plan, but for what the cluster decides.
func (o *options) planOptions() plan.Options {
	return plan.Options{
		AgentImage:         o.agentImage,
		Delivery:           plan.Delivery(o.agentDelivery),
		AvoidEmptyDir:      o.avoidEmptyDir,
		OperatorNamespace:  o.namespace,
		ExcludedNamespaces: sets.New(o.excludedNamespaces...),
	}
}

// listenHost is where the webhook server listens: everywhere, unless the API
// server is told to find it on a loopback address.
func (o *options) listenHost() string {
	host, err := o.webhookHost()
	if err != nil {
		return ""
	}
	if address, err := netip.ParseAddr(host); err == nil && address.IsLoopback() {
		return net.IP(address.AsSlice()).String()
	}
	return ""
}
