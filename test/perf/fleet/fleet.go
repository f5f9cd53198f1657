// Package fleet makes what benchmarks have the operator look after: nodes,
// namespaces, and workloads of a policy and its pods.
package fleet

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const (
	// PerNamespace is how many workloads a namespace has.
	PerNamespace = 10
	// MetricsPort of the pods.
	MetricsPort = 9090
	// atOnce is how many requests of the bench the API server works on.
	atOnce = 32
)

// Client is one that does not wait between its requests.
func Client(config *rest.Config) (client.WithWatch, error) {
	fast := rest.CopyConfig(config)
	fast.QPS, fast.Burst = -1, 0
	return client.NewWithWatch(fast, client.Options{Scheme: framework.Scheme()})
}

// Workload is one policy and its pods.
type Workload struct {
	Namespace, Name string
	// Number among all workloads.
	Number int
}

// Workloads are the first ones.
func Workloads(count int) []Workload {
	all := make([]Workload, count)
	for number := range all {
		all[number] = Workload{
			Namespace: fmt.Sprintf("team-%d", number/PerNamespace), Name: fmt.Sprintf("web-%d", number%PerNamespace), Number: number,
		}
	}
	return all
}

// Each does something for each workload, for many at a time.
func Each(ctx context.Context, workloads []Workload, do func(context.Context, Workload) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, w := range workloads {
		group.Go(func() error { return do(ctx, w) })
	}
	return group.Wait()
}

// CreateNamespaces makes the namespaces that so many workloads are in.
func CreateNamespaces(ctx context.Context, c client.Client, workloads int) error {
	for i := range (workloads + PerNamespace - 1) / PerNamespace {
		if err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team-%d", i)}}); err != nil {
			return err
		}
	}
	return nil
}

// CreateNodes makes nodes that mount images as volumes.
func CreateNodes(ctx context.Context, c client.Client, count int) error {
	for i := range count {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: NodeName(i), Labels: map[string]string{
			"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": "zone-a",
		}}}
		node.Status.NodeInfo = corev1.NodeSystemInfo{
			OperatingSystem: "linux", Architecture: "amd64", KubeletVersion: "v1.36.3", ContainerRuntimeVersion: "containerd://2.3.7",
		}
		if err := c.Create(ctx, node); err != nil {
			return err
		}
	}
	return nil
}

// NodeName of one of the nodes.
func NodeName(i int) string { return fmt.Sprintf("node-%d.example.com", i) }

// Policy of the workload.
func (w Workload) Policy() *v1alpha1.DrainPolicy {
	return &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name},
		Spec: v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": w.Name, "tier": "front"}},
			DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{
				Port: intstr.FromString("status"), Path: "/drain-status",
			}},
		},
	}
}

// Pod is one of the workload's as its owner makes it, bound to a node.
func (w Workload) Pod(number int, node string) *corev1.Pod {
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.Namespace, Name: fmt.Sprintf("%s-7c5b4f9d8-x%04d", w.Name, number),
			Labels:      map[string]string{"app": w.Name, "tier": "front", "pod-template-hash": "7c5b4f9d8"},
			Annotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9090"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: w.Name + "-7c5b4f9d8", UID: types.UID(fmt.Sprintf("7c5b4f9d-0000-0000-0000-%012d", w.Number)),
				Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true),
			}},
		},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: ptr.To(false), TerminationGracePeriodSeconds: ptr.To[int64](30), NodeName: node,
			Containers: []corev1.Container{{
				Name: "app", Image: "registry.example.com/shop/web:1.27.4", Args: []string{"--listen=:8080", "--metrics=:9090"},
				Ports: []corev1.ContainerPort{
					{Name: "http", ContainerPort: 8080}, {Name: "metrics", ContainerPort: MetricsPort}, {Name: "status", ContainerPort: 8081},
				},
				Env: []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
				},
				LivenessProbe: probe("/healthz"), ReadinessProbe: probe("/readyz"),
			}},
		},
	}
}
