package framework

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
)

// Ports of the workload.
const (
	WorkPort   = 8080
	StatusPort = 8081
	ProxyPort  = 8090
)

// PodBuilder builds pods of the workload.
type PodBuilder struct{ pod corev1.Pod }

// Pod begins a pod named and labelled app: name, with one container "app" that
// works on WorkPort and ends at once on SIGTERM. It is valid under the
// restricted Pod Security Standard.
func Pod(name string) *PodBuilder { return BarePod(name).Container("app", WorkPort) }

// BarePod is a Pod without a container.
func BarePod(name string) *PodBuilder {
	return &PodBuilder{pod: corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  ptr.To(false),
			EnableServiceLinks:            ptr.To(false),
			TerminationGracePeriodSeconds: ptr.To[int64](10),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](65532),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
		},
	}}
}

// Container adds a container of the workload that listens on port.
func (b *PodBuilder) Container(name string, port int32, args ...string) *PodBuilder {
	b.pod.Spec.Containers = append(b.pod.Spec.Containers, corev1.Container{
		Name: name, Image: Image(), ImagePullPolicy: corev1.PullIfNotPresent,
		Command: []string{"/workload"}, Args: append([]string{fmt.Sprintf("-addr=:%d", port)}, args...),
		Ports: []corev1.ContainerPort{{Name: name, ContainerPort: port}},
		Env: []corev1.EnvVar{
			field("POD_NAME", "metadata.name"),
			field("POD_IP", "status.podIP"),
		},
		ReadinessProbe: &corev1.Probe{ProbeHandler: httpGet("/readyz", port), PeriodSeconds: 1, TimeoutSeconds: 5},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("8Mi"),
		}},
	})
	return b
}

// last is the container that was added last.
func (b *PodBuilder) last() *corev1.Container {
	return &b.pod.Spec.Containers[len(b.pod.Spec.Containers)-1]
}

// Args adds flags of the workload to the last container.
func (b *PodBuilder) Args(args ...string) *PodBuilder {
	b.last().Args = append(b.last().Args, args...)
	return b
}

// Status makes the last container serve its drain status, as -status says.
func (b *PodBuilder) Status(mode string) *PodBuilder {
	b.last().Ports = append(b.last().Ports, corev1.ContainerPort{Name: "status", ContainerPort: StatusPort})
	return b.Args("-status="+mode, fmt.Sprintf("-status-addr=:%d", StatusPort))
}

// Scraped lets Prometheus read the metrics page at the drain status.
func (b *PodBuilder) Scraped() *PodBuilder { return b.Label(labelScraped, "yes") }

// Hook gives the last container a preStop hook of its own, a sleep.
func (b *PodBuilder) Hook(sleepSeconds int64) *PodBuilder {
	b.last().Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: sleepSeconds}}}
	return b
}

// Liveness gives the last container a liveness probe that fails after 2 s.
func (b *PodBuilder) Liveness() *PodBuilder {
	b.last().LivenessProbe = &corev1.Probe{
		ProbeHandler: httpGet("/healthz", WorkPort), PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2,
	}
	return b
}

// MemoryLimit bounds the last container.
func (b *PodBuilder) MemoryLimit(quantity string) *PodBuilder {
	b.last().Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(quantity)}
	return b
}

// Grace sets terminationGracePeriodSeconds.
func (b *PodBuilder) Grace(seconds int64) *PodBuilder {
	b.pod.Spec.TerminationGracePeriodSeconds = &seconds
	return b
}

// Label adds a label.
func (b *PodBuilder) Label(key, value string) *PodBuilder {
	b.pod.Labels[key] = value
	return b
}

// Annotation adds an annotation.
func (b *PodBuilder) Annotation(key, value string) *PodBuilder {
	metav1.SetMetaDataAnnotation(&b.pod.ObjectMeta, key, value)
	return b
}

// With edits the pod in a way that has no verb of its own.
func (b *PodBuilder) With(edit func(*corev1.Pod)) *PodBuilder {
	edit(&b.pod)
	return b
}

// Obj is the pod.
func (b *PodBuilder) Obj() *corev1.Pod { return b.pod.DeepCopy() }

// Deployment is a Deployment of such pods, named as they are, that selects them
// by all their labels.
func (b *PodBuilder) Deployment(replicas int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: b.pod.Name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: b.pod.Labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: b.pod.Labels, Annotations: b.pod.Annotations},
				Spec:       b.pod.Spec,
			},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr.To(intstr.FromInt32(1)), MaxUnavailable: ptr.To(intstr.FromInt32(0))},
			},
		},
	}
}

func field(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func httpGet(path string, port int32) corev1.ProbeHandler {
	return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(port)}}
}
