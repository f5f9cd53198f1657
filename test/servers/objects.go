package servers

import (
	"embed"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/examples"
)

//go:embed apps
var apps embed.FS

// Container is the name of the container that serves.
const Container = "app"

// Objects are a Deployment of the server in that image, called and labelled as
// the server is, and the ConfigMap with its application and configuration. The
// pods are valid under the restricted Pod Security Standard.
func (s Server) Objects(namespace, image string, replicas int32) []client.Object {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: s.Name, Labels: map[string]string{"app": s.Name}}
	var objects []client.Object
	if len(s.files) > 0 {
		objects = append(objects, &corev1.ConfigMap{ObjectMeta: meta, Data: s.data()})
	}
	return append(objects, &appsv1.Deployment{
		ObjectMeta: meta,
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: meta.Labels},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: ptr(intstr.FromInt32(1)), MaxUnavailable: ptr(intstr.FromInt32(0))},
			},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: meta.Labels}, Spec: s.pod(image)},
		},
	})
}

// data are the files, read from the examples, or from this package.
func (s Server) data() map[string]string {
	data := map[string]string{}
	for name, from := range s.files {
		fs := examples.Files
		if strings.HasPrefix(from, "apps/") {
			fs = apps
		}
		text, err := fs.ReadFile(from)
		if err != nil {
			panic(err) // the catalog names a file that is not embedded; a test of it finds all
		}
		data[name] = string(text)
	}
	return data
}

func (s Server) pod(image string) corev1.PodSpec {
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: ptr(false),
		EnableServiceLinks:           ptr(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: ptr(true), RunAsUser: ptr(int64(65532)), RunAsGroup: ptr(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{s.serving(image)},
	}
	if s.proxy {
		backend := s.container("backend", image, []string{"/usr/bin/python3", "/app/server.py"})
		backend.Env = append(backend.Env, corev1.EnvVar{Name: "ADDRESS", Value: "127.0.0.1:8081"})
		spec.Containers = append(spec.Containers, backend)
	}
	if len(s.files) > 0 {
		spec.Volumes = []corev1.Volume{{Name: "app", VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: s.Name}},
		}}}
	}
	return spec
}

// serving is the container that serves Port.
func (s Server) serving(image string) corev1.Container {
	command := s.command
	if s.bare && s.bareCommand != nil {
		command = s.bareCommand
	}
	c := s.container(Container, image, command)
	c.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: Port}}
	c.ReadinessProbe = &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}},
		PeriodSeconds: 2, TimeoutSeconds: 5,
	}
	if len(s.hook) > 0 && !s.bare {
		c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: s.hook}}}
	}
	return c
}

func (s Server) container(name, image string, command []string) corev1.Container {
	c := corev1.Container{
		Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: command,
		Env: []corev1.EnvVar{
			{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			{Name: "PYTHONPATH", Value: "/app"},
			{Name: "TMPDIR", Value: "/dev/shm"},
		},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("64Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
	if s.bare {
		c.Env = append(c.Env, corev1.EnvVar{Name: "DRAIN", Value: "off"})
	}
	if len(s.files) > 0 {
		c.VolumeMounts = []corev1.VolumeMount{{Name: "app", MountPath: "/app", ReadOnly: true}}
	}
	return c
}
