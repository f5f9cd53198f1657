package framework

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const prometheusPort = 9090

// labelScraped marks pods whose StatusPort Prometheus reads.
const labelScraped = "scraped"

// prometheusConfig reads what the container "targets" beside it names.
const prometheusConfig = `
global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
- job_name: workloads
  body_size_limit: 1MB
  http_sd_configs: [{url: "http://127.0.0.1:9099/", refresh_interval: 2s}]
`

// Prometheus is a real one that runs on the cluster.
type Prometheus struct {
	ns   *Namespace
	name string
}

// Prometheus is the one of that name in a namespace in which RunPrometheus has
// started it.
func (e *Env) Prometheus(namespace, name string) *Prometheus {
	return &Prometheus{ns: &Namespace{Env: e, Name: namespace}, name: name}
}

// RunPrometheus starts one Prometheus of each name, until the suite ends, and
// returns their namespace and the operator's configuration of them as sources
// of latency, each under its name.
func (e *Env) RunPrometheus(ctx context.Context, names ...string) (namespace, sources string) {
	GinkgoHelper()
	ns := e.NewNamespace(ctx, nil)
	e.mayReadPods(ctx, ns.Name)
	ns.Create(ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		Data:       map[string]string{"prometheus.yml": prometheusConfig},
	})
	var b strings.Builder
	b.WriteString("sources:\n")
	for _, name := range names {
		ns.Create(ctx, prometheusDeployment(name))
		address := strings.TrimSuffix(ns.Service(ctx, name, prometheusPort), "/work")
		fmt.Fprintf(&b, "- {name: %s, address: %q, timeoutSeconds: 5}\n", name, address)
	}
	for _, name := range names {
		ns.AwaitRollout(ctx, name)
	}
	return ns.Name, b.String()
}

// mayReadPods lets the namespace's service account "default" see all pods, as
// the one who names targets has to.
func (e *Env) mayReadPods(ctx context.Context, namespace string) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "default"}},
	}
	for _, o := range []client.Object{role, binding} {
		o.SetLabels(map[string]string{labelSuite: "true"})
		Expect(e.Client.Create(ctx, o)).To(Succeed())
	}
	DeferCleanup(e.removeRoles, NodeTimeout(long))
}

// removeRoles removes what mayReadPods made.
func (e *Env) removeRoles(ctx context.Context) error {
	for _, kind := range []client.Object{&rbacv1.ClusterRoleBinding{}, &rbacv1.ClusterRole{}} {
		if err := e.Client.DeleteAllOf(ctx, kind, client.HasLabels{labelSuite}); err != nil {
			return err
		}
	}
	return nil
}

func prometheusDeployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To[int32](1),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Strategy: appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: prometheusPod()},
		},
	}
}

// prometheusPod is Debian's Prometheus, and who tells it what to scrape. Its
// data goes with it.
func prometheusPod() corev1.PodSpec {
	return corev1.PodSpec{
		EnableServiceLinks: ptr.To(false),
		Containers: []corev1.Container{{
			Name: "prometheus", Image: imageOf("prometheus"), ImagePullPolicy: corev1.PullIfNotPresent,
			Args: []string{
				"--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/data",
				fmt.Sprintf("--web.listen-address=:%d", prometheusPort),
			},
			Ports:          []corev1.ContainerPort{{Name: "web", ContainerPort: prometheusPort}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: httpGet("/-/ready", prometheusPort), PeriodSeconds: 1, TimeoutSeconds: 5},
			Resources:      few("64Mi", "512Mi"),
			VolumeMounts:   []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus"}, {Name: "data", MountPath: "/data"}},
		}, {
			Name: "targets", Image: Image(), ImagePullPolicy: corev1.PullIfNotPresent,
			Command:   []string{"/targets"},
			Args:      []string{"-selector=" + labelScraped, fmt.Sprintf("-port=%d", StatusPort)},
			Resources: few("8Mi", "64Mi"),
		}},
		Volumes: []corev1.Volume{
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
				LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"},
			}}},
			{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
		},
	}
}

// few are the resources of something small: the memory that is set aside for
// it, and the most that it gets.
func few(memory, most string) corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse(memory)},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(most)},
	}
}

// Stop ends it, with all that it has seen, and returns when it is gone.
func (p *Prometheus) Stop(ctx context.Context) {
	GinkgoHelper()
	p.ns.Scale(ctx, p.name, 0)
	Eventually(func(g Gomega) {
		var pods corev1.PodList
		g.Expect(p.ns.Client.List(ctx, &pods, client.InNamespace(p.ns.Name), client.MatchingLabels{"app": p.name})).To(Succeed())
		g.Expect(pods.Items).To(BeEmpty())
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}

// Start starts it again.
func (p *Prometheus) Start(ctx context.Context) {
	GinkgoHelper()
	p.ns.Scale(ctx, p.name, 1)
	p.ns.AwaitRollout(ctx, p.name)
}
