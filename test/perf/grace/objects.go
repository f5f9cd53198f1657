package grace

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/integration/framework"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	policyCount   = 1000
	podsPerPolicy = 10
	podCount      = policyCount * podsPerPolicy
	nodes         = 100
)

// podNetwork is where pods have their addresses.
var podNetwork = netip.MustParsePrefix("10.200.0.0/16")

// workload is one policy, and what is looked at for it.
type workload struct{ fleet.Workload }

// create makes all that the operator finds when it starts: nodes, namespaces,
// policies without a source of latency, and injected pods that run.
func create(ctx context.Context, c client.Client) error {
	if err := fleet.CreateNodes(ctx, c, nodes); err != nil {
		return err
	}
	if err := fleet.CreateNamespaces(ctx, c, policyCount); err != nil {
		return err
	}
	return eachWorkload(ctx, func(ctx context.Context, w workload) error { return w.create(ctx, c) })
}

func eachWorkload(ctx context.Context, do func(context.Context, workload) error) error {
	return fleet.Each(ctx, fleet.Workloads(policyCount), func(ctx context.Context, w fleet.Workload) error { return do(ctx, workload{w}) })
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
	policy := w.Policy()
	policy.Spec.GracePeriod.WindowSeconds = windowSeconds
	return policy
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
	if err := c.Get(ctx, client.ObjectKey{Namespace: w.Namespace, Name: w.Name}, policy); err != nil {
		return err
	}
	before := policy.DeepCopy()
	policy.Spec.GracePeriod.Latency = source
	return c.Patch(ctx, policy, client.MergeFrom(before))
}

// path of the metrics page: policies get the kinds of pages by their shares.
func (w workload) path() string {
	digit := w.Number % 10
	for _, k := range kinds {
		if digit -= k.share; digit < 0 {
			return k.path
		}
	}
	return kinds[0].path
}

// pod is one of the workload, as the webhook makes it.
func (w workload) pod(policy *v1alpha1.DrainPolicy, number int) (*corev1.Pod, error) {
	pod := w.runningPod(number)
	answer, injected := injection.Decide(pod, w.Namespace, []*v1alpha1.DrainPolicy{policy}, plan.Options{
		AgentImage: framework.AgentImage, Delivery: plan.ImageVolume, OperatorNamespace: framework.OperatorNamespace,
	})
	if answer.Result != injection.ResultInjected {
		return nil, fmt.Errorf("a pod of policy %s is %s, want it injected: %w", w.Name, answer.Result, answer.Err)
	}
	return injected, nil
}

// runningPod is one of the workload that runs, with an address of its own.
func (w workload) runningPod(number int) *corev1.Pod {
	position := w.Number*podsPerPolicy + number
	address := podNetwork.Addr().As4()
	address[2], address[3] = byte(1+position/200), byte(1+position%200)
	pod, now := w.Pod(number, fleet.NodeName(position%nodes)), metav1.Now()
	app := pod.Spec.Containers[0]
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: netip.AddrFrom4(address).String(), StartTime: &now,
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: now},
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now},
		},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: app.Name, Image: app.Image, Ready: true, Started: ptr.To(true),
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}},
	}
	return pod
}
