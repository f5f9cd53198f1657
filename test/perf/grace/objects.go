package grace

import (
	"context"
	"fmt"
	"net/netip"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	namespaces           = 100
	policiesPerNamespace = 10
	podsPerPolicy        = 10
	policyCount          = namespaces * policiesPerNamespace
	podCount             = policyCount * podsPerPolicy
	nodes                = 100
	metricsPort          = 9090
	// atOnce is how many requests of the bench the API server works on.
	atOnce = 32
)

// podNetwork is where pods have their addresses.
var podNetwork = netip.MustParsePrefix("10.200.0.0/16")

// workload is one policy, and what is looked at for it.
type workload struct {
	namespace, name string
	number          int
}

func workloads() []workload {
	var all []workload
	for number := range policyCount {
		all = append(all, workload{
			namespace: fmt.Sprintf("team-%d", number/policiesPerNamespace), name: fmt.Sprintf("web-%d", number%policiesPerNamespace), number: number,
		})
	}
	return all
}

// create makes all that the operator finds when it starts: nodes, namespaces,
// policies without a source of latency, and injected pods that run.
func create(ctx context.Context, c client.Client) error {
	for i := range nodes {
		if err := c.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: nodeName(i), Labels: map[string]string{
			"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "zone-a",
		}}}); err != nil {
			return err
		}
	}
	for i := range namespaces {
		if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", i)}}); err != nil {
			return err
		}
	}
	return eachWorkload(ctx, func(ctx context.Context, w workload) error { return w.create(ctx, c) })
}

func eachWorkload(ctx context.Context, do func(context.Context, workload) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, w := range workloads() {
		group.Go(func() error { return do(ctx, w) })
	}
	return group.Wait()
}

func (w workload) create(ctx context.Context, c client.Client) error {
	policy := w.policy()
	if err := c.Create(ctx, policy); err != nil {
		return err
	}
	for i := range podsPerPolicy {
		pod, err := w.pod(policy, i)
		if err != nil {
			return err
		}
		status := pod.Status
		if err := c.Create(ctx, pod); err != nil {
			return err
		}
		pod.Status = status
		if err := c.Status().Update(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}

func (w workload) policy() *v1alpha1.DrainPolicy {
	return &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name},
		Spec: v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": w.name, "tier": "front"}},
			DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{
				Port: intstr.FromString("status"), Path: "/drain-status",
			}},
			GracePeriod: v1alpha1.GracePeriod{WindowSeconds: windowSeconds},
		},
	}
}

// askPods lets the operator look at the pods' own pages.
func (w workload) askPods(ctx context.Context, c client.Client) error {
	return w.ask(ctx, c, w.podMetrics())
}

func (w workload) podMetrics() *v1alpha1.Latency {
	return &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{
		Port: intstr.FromString("metrics"), Path: w.path(), Histogram: histogram,
	}}
}

// askPrometheus lets it ask a Prometheus instead.
func (w workload) askPrometheus(ctx context.Context, c client.Client) error {
	return w.ask(ctx, c, &v1alpha1.Latency{Prometheus: &v1alpha1.PrometheusLatency{Query: query}})
}

func (w workload) ask(ctx context.Context, c client.Client, source *v1alpha1.Latency) error {
	policy := &v1alpha1.DrainPolicy{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, policy); err != nil {
		return err
	}
	before := policy.DeepCopy()
	policy.Spec.GracePeriod.Latency = source
	return c.Patch(ctx, policy, client.MergeFrom(before))
}

// path of the metrics page: policies get the kinds of pages by their shares.
func (w workload) path() string {
	digit := w.number % 10
	for _, k := range kinds {
		if digit -= k.share; digit < 0 {
			return k.path
		}
	}
	return kinds[0].path
}

func nodeName(i int) string { return fmt.Sprintf("node-%d.example.com", i) }

// pod is one of the workload, as the webhook makes it.
func (w workload) pod(policy *v1alpha1.DrainPolicy, number int) (*corev1.Pod, error) {
	pod := w.plainPod(number)
	answer, injected := injection.Decide(pod, w.namespace, []*v1alpha1.DrainPolicy{policy}, plan.Options{
		AgentImage: framework.AgentImage, Delivery: plan.ImageVolume, OperatorNamespace: framework.OperatorNamespace,
	})
	if answer.Result != injection.ResultInjected {
		return nil, fmt.Errorf("a pod of policy %s is %s, want it injected: %w", w.name, answer.Result, answer.Err)
	}
	return injected, nil
}

func (w workload) plainPod(number int) *corev1.Pod {
	position := w.number*podsPerPolicy + number
	address := podNetwork.Addr().As4()
	address[2], address[3] = byte(1+position/200), byte(1+position%200)
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}}
	}
	now := metav1.Now()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.namespace, Name: fmt.Sprintf("%s-7c5b4f9d8-x%04d", w.name, number),
			Labels:      map[string]string{"app": w.name, "tier": "front", "pod-template-hash": "7c5b4f9d8"},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w.name + "-7c5b4f9d8", UID: types.UID(fmt.Sprintf("7c5b4f9d-0000-0000-0000-%012d", w.number)),
				Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
			}},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To[int64](30), NodeName: nodeName(position % nodes),
			Containers: []corev1.Container{{
				Name: "app", Image: "registry.example.com/shop/web:1.27.4", Args: []string{"--listen=:8080", "--metrics=:9090"},
				Ports: []corev1.ContainerPort{
					{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: metricsPort}, {Name: "status", ContainerPort: 8081},
				},
				Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
			}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: netip.AddrFrom4(address).String(), StartTime: &now,
			Conditions: []corev1.PodCondition{
				{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
				{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
			},
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "app", Image: "registry.example.com/shop/web:1.27.4", Ready: true, Started: ptr.To(true),
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
			}},
		},
	}
}
