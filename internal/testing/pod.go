// Package testing has builders for objects in tests, which read like a
// sentence: MakePod("a").Label("app", "web").Container(...).Grace(30).Obj().
package testing

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// PodWrapper builds a Pod.
type PodWrapper struct{ corev1.Pod }

// MakePod starts a pod of the namespace "default" without containers.
func MakePod(name string) *PodWrapper {
	return &PodWrapper{corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault}}}
}

// Obj is the pod.
func (w *PodWrapper) Obj() *corev1.Pod { return w.DeepCopy() }

// Namespace puts the pod into a namespace.
func (w *PodWrapper) Namespace(namespace string) *PodWrapper {
	w.Pod.Namespace = namespace
	return w
}

// Label sets a label.
func (w *PodWrapper) Label(key, value string) *PodWrapper {
	metav1.SetMetaDataLabel(&w.ObjectMeta, key, value)
	return w
}

// Annotation sets an annotation.
func (w *PodWrapper) Annotation(key, value string) *PodWrapper {
	metav1.SetMetaDataAnnotation(&w.ObjectMeta, key, value)
	return w
}

// Owner makes an object of that apiVersion, kind and name the pod's controller.
func (w *PodWrapper) Owner(apiVersion, kind, name string) *PodWrapper {
	w.OwnerReferences = append(w.OwnerReferences, metav1.OwnerReference{
		APIVersion: apiVersion, Kind: kind, Name: name, UID: "1", Controller: ptr.To(true),
	})
	return w
}

// Container adds a regular container.
func (w *PodWrapper) Container(c *ContainerWrapper) *PodWrapper {
	w.Spec.Containers = append(w.Spec.Containers, *c.Obj())
	return w
}

// Init adds an init container.
func (w *PodWrapper) Init(c *ContainerWrapper) *PodWrapper {
	w.Spec.InitContainers = append(w.Spec.InitContainers, *c.Obj())
	return w
}

// Sidecar adds a native sidecar: an init container that is always restarted.
func (w *PodWrapper) Sidecar(c *ContainerWrapper) *PodWrapper {
	sidecar := c.Obj()
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	w.Spec.InitContainers = append(w.Spec.InitContainers, *sidecar)
	return w
}

// Volume adds a volume.
func (w *PodWrapper) Volume(name string, source corev1.VolumeSource) *PodWrapper {
	w.Spec.Volumes = append(w.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	return w
}

// Grace sets terminationGracePeriodSeconds.
func (w *PodWrapper) Grace(seconds int64) *PodWrapper {
	w.Spec.TerminationGracePeriodSeconds = ptr.To(seconds)
	return w
}

// ReadinessGates adds readiness gates for these conditions.
func (w *PodWrapper) ReadinessGates(conditions ...corev1.PodConditionType) *PodWrapper {
	for _, c := range conditions {
		w.Spec.ReadinessGates = append(w.Spec.ReadinessGates, corev1.PodReadinessGate{ConditionType: c})
	}
	return w
}

// Condition adds a condition to the pod's status.
func (w *PodWrapper) Condition(conditionType corev1.PodConditionType, status corev1.ConditionStatus) *PodWrapper {
	w.Status.Conditions = append(w.Status.Conditions, corev1.PodCondition{Type: conditionType, Status: status})
	return w
}

// With edits what no other method does.
func (w *PodWrapper) With(edit func(*corev1.PodSpec)) *PodWrapper {
	edit(&w.Pod.Spec)
	return w
}
