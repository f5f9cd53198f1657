package demo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/utils/ptr"
)

// Manifests are the objects of an example workload.
type Manifests struct {
	Deployment *appsv1.Deployment
	Service    *corev1.Service
	// Policy is the example's DrainPolicy, nil where it is not asked for.
	Policy *unstructured.Unstructured
}

// ReadManifests reads an example's folder: deployment.yaml with a Deployment
// and a Service, drainpolicy.yaml with a DrainPolicy.
func ReadManifests(dir string) (Manifests, error) {
	workload, err := readObjects(filepath.Join(dir, "deployment.yaml"))
	if err != nil {
		return Manifests{}, err
	}
	policies, err := readObjects(filepath.Join(dir, "drainpolicy.yaml"))
	if err != nil {
		return Manifests{}, err
	}
	m := Manifests{}
	for _, o := range append(workload, policies...) {
		if err := m.take(o); err != nil {
			return Manifests{}, fmt.Errorf("%s: %s: %w", dir, o.GetKind(), err)
		}
	}
	if m.Deployment == nil || m.Service == nil || m.Policy == nil {
		return Manifests{}, fmt.Errorf("%s: a Deployment, a Service and a DrainPolicy are needed, found %t, %t, %t", dir, m.Deployment != nil, m.Service != nil, m.Policy != nil)
	}
	return m, nil
}

func (m *Manifests) take(o *unstructured.Unstructured) error {
	convert := runtime.DefaultUnstructuredConverter.FromUnstructured
	switch o.GetKind() {
	case "Deployment":
		m.Deployment = &appsv1.Deployment{}
		return convert(o.Object, m.Deployment)
	case "Service":
		m.Service = &corev1.Service{}
		return convert(o.Object, m.Service)
	case "DrainPolicy":
		m.Policy = o
	}
	return nil
}

func readObjects(path string) ([]*unstructured.Unstructured, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
		o := &unstructured.Unstructured{}
		switch err := d.Decode(&o.Object); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}

// Adapt makes the objects those of a cell: its namespace, image and numbers,
// and what its treatment adds. The workload's own image is what is replaced:
// containers that come with an example, such as a proxy, have others.
func (m Manifests) Adapt(namespace string, t Treatment, c Config) Manifests {
	d, s := m.Deployment.DeepCopy(), m.Service.DeepCopy()
	d.Namespace, s.Namespace = namespace, namespace
	d.Spec.Replicas = &c.Replicas
	d.Spec.Strategy = appsv1.DeploymentStrategy{
		Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{
			MaxSurge:       ptr.To(intstr.FromInt32(c.MaxSurge)),
			MaxUnavailable: ptr.To(intstr.FromInt32(c.MaxUnavailable)),
		},
	}
	spec := &d.Spec.Template.Spec
	for i := range spec.Containers {
		spec.Containers[i].Image = c.Image
		spec.Containers[i].ImagePullPolicy = corev1.PullIfNotPresent
	}
	tuneProbes(spec)
	out := Manifests{Deployment: d, Service: s}
	switch t {
	case Sleep:
		addSleep(spec)
	case Policy:
		out.Policy = m.Policy.DeepCopy()
		out.Policy.SetNamespace(namespace)
	}
	return out
}

// tuneProbes makes pods ready soon, and keeps a machine that is short of time
// from taking them out of the Service: what the demo counts are rollouts.
func tuneProbes(spec *corev1.PodSpec) {
	for i := range spec.Containers {
		if p := spec.Containers[i].ReadinessProbe; p != nil {
			p.PeriodSeconds, p.TimeoutSeconds, p.FailureThreshold = 1, 5, 3
		}
	}
}

// addSleep adds the fixed hook, as people do: the grace stays what it was, and
// the default of 30 s has room for it.
func addSleep(spec *corev1.PodSpec) {
	for i := range spec.Containers {
		spec.Containers[i].Lifecycle = &corev1.Lifecycle{
			PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: sleepSeconds}},
		}
	}
	if g := spec.TerminationGracePeriodSeconds; g != nil && *g < 2*sleepSeconds {
		spec.TerminationGracePeriodSeconds = ptr.To[int64](2 * sleepSeconds)
	}
}
