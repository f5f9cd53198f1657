package grace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// operator is the real one, as a process of its own.
type operator struct {
	*framework.Operator
	token string
	log   *os.File
}

// startOperator builds and starts it, and waits until it is ready.
func startOperator(ctx context.Context, env *framework.Environment, dir string, flags ...string) (*operator, error) {
	binary, err := framework.Binary(ctx, dir)
	if err != nil {
		return nil, err
	}
	o := &operator{}
	if o.token, err = scraperToken(ctx, env); err != nil {
		return nil, err
	}
	if o.log, err = os.Create(filepath.Join(dir, "operator.log")); err != nil {
		return nil, err
	}
	if err := asDeployed(); err != nil {
		return nil, err
	}
	if o.Operator, err = env.Run(ctx, binary, dir, o.log, flags...); err != nil {
		return nil, errors.Join(err, o.log.Close())
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, glance, readyTimeout, true, func(context.Context) (bool, error) {
		last = o.Ready()
		return last == nil, o.alive()
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the operator: %w: %w\n%s", err, last, o.tail()), o.stop())
	}
	return o, nil
}

// asDeployed gives the operator the memory limit that its manifest sets: what is
// started from now on inherits it.
func asDeployed() error {
	const name = "GOMEMLIMIT"
	objects, err := framework.ReadObjects(framework.File("config/manager/deployment.yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		deployment := &appsv1.Deployment{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment); err != nil {
			return err
		}
		for _, container := range deployment.Spec.Template.Spec.Containers {
			for _, variable := range container.Env {
				if variable.Name == name && variable.Value != "" {
					return os.Setenv(name, variable.Value)
				}
			}
		}
	}
	return fmt.Errorf("the manifest sets no %s", name)
}

func (o *operator) stop() error { return errors.Join(o.Stop(), o.log.Close()) }

func (o *operator) alive() error {
	if ended, code := o.Ended(); ended {
		return fmt.Errorf("the operator ended with %d\n%s", code, o.tail())
	}
	return nil
}

// tail is the end of what the operator printed.
func (o *operator) tail() []byte {
	text, _ := os.ReadFile(o.log.Name()) // the error is told with or without it
	return text[max(0, len(text)-4096):]
}

// scraperToken is one of a ServiceAccount that may read the operator's metrics.
func scraperToken(ctx context.Context, env *framework.Environment) (string, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "scraper"}}
	if err := env.Client.Create(ctx, account); err != nil {
		return "", err
	}
	if err := env.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "scraper"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "drain-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}},
	}); err != nil {
		return "", err
	}
	return env.Token(ctx, account.Namespace, account.Name)
}

// usage is what the operator has used since its start, and what it keeps.
type usage struct {
	cpu time.Duration
	// gc is the collector's part of it, as the runtime estimates it.
	gc time.Duration
	// looks at a policy's latency, seen those that saw something.
	looks, seen float64
	// own is the memory of the process, resident with the pages of its binary in
	// addition, live what the last collection left on the heap. MiB.
	own, resident, live float64
	// allocated so far: bytes and objects.
	allocated, objects float64
}

const mib = 1 << 20

// use reads all of it. What reading costs is in none of the differences of two
// CPU times but the next one's: some 50 ms.
func (o *operator) use() (usage, error) {
	var u usage
	if err := errors.Join(o.alive(), u.fromProc(o.PID())); err != nil {
		return u, err
	}
	status, body, err := o.Scrape(o.token)
	if err != nil || status != http.StatusOK {
		return u, fmt.Errorf("reading the operator's metrics: status %d: %w", status, err)
	}
	m, err := parse(body)
	if err != nil {
		return u, err
	}
	u.looks = m.sum("drain_operator_latency_looks_total", nil)
	u.seen = m.sum("drain_operator_latency_looks_total", map[string]string{"result": "Seen"})
	u.live = m.sum("go_gc_heap_live_bytes", nil) / mib
	u.allocated = m.sum("go_gc_heap_allocs_bytes_total", nil)
	u.objects = m.sum("go_gc_heap_allocs_objects_total", nil)
	u.gc = time.Duration(m.sum("go_cpu_classes_gc_total_cpu_seconds_total", nil) * float64(time.Second))
	return u, nil
}

// tick is the unit of times in /proc, which is the same everywhere that Go runs.
const tick = 10 * time.Millisecond

func (u *usage) fromProc(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	// After the name, which may have anything in it: state is field 3, utime 14.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	for _, field := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return err
		}
		u.cpu += time.Duration(ticks) * tick
	}
	if u.own, err = size(pid, "RssAnon:"); err != nil {
		return err
	}
	u.resident, err = size(pid, "VmRSS:")
	return err
}

// size is one of a process's sizes in MiB.
func size(pid int, name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, name); found {
			var kib float64
			_, err := fmt.Sscan(rest, &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s", pid, name)
}

// followPeak looks at the process's own memory until the context ends.
func (o *operator) followPeak(ctx context.Context) (peak func() float64) {
	var highest atomic.Uint64
	go func() {
		for ticker := time.NewTicker(glance); ctx.Err() == nil; <-ticker.C {
			// A process that is gone has no peak any more.
			if now, err := size(o.PID(), "RssAnon:"); err == nil {
				highest.Store(math.Float64bits(max(now, math.Float64frombits(highest.Load()))))
			}
		}
	}()
	return func() float64 { return math.Float64frombits(highest.Load()) }
}

// metrics of a page.
type metrics map[string]*dto.MetricFamily

func parse(body string) (metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(body))
}

// sum of the samples of a metric that carry these labels.
func (m metrics) sum(name string, labels map[string]string) float64 {
	sum := 0.0
	for _, sample := range m[name].GetMetric() {
		carried := 0
		for _, pair := range sample.Label {
			if value, asked := labels[pair.GetName()]; asked && value == pair.GetValue() {
				carried++
			}
		}
		if carried == len(labels) {
			sum += sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + sample.GetUntyped().GetValue()
		}
	}
	return sum
}

// written are the resources that the operator writes, its lease aside, by verbs.
var (
	written = []string{"drainpolicies", "events", "pods", "nodes", "secrets", "mutatingwebhookconfigurations"}
	verbs   = []string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
)

// writes is how often the API server was asked to change one of these, dry
// runs aside, by what was asked and answered.
func writes(ctx context.Context, env *framework.Environment) (map[string]float64, error) {
	client, err := restClient(env.Config)
	if err != nil {
		return nil, err
	}
	body, err := client.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the API server's metrics: %w", err)
	}
	m, err := parse(string(body))
	if err != nil {
		return nil, err
	}
	counts := map[string]float64{}
	for _, sample := range m["apiserver_request_total"].GetMetric() {
		label := map[string]string{}
		for _, pair := range sample.Label {
			label[pair.GetName()] = pair.GetValue()
		}
		if slices.Contains(verbs, label["verb"]) && slices.Contains(written, label["resource"]) && label["dry_run"] == "" {
			counts[fmt.Sprintf("%s %s/%s: %s", label["verb"], label["resource"], label["subresource"], label["code"])] += sample.GetCounter().GetValue()
		}
	}
	return counts, nil
}

// median of some values.
func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
