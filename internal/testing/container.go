package testing

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// ContainerWrapper builds a Container.
type ContainerWrapper struct{ corev1.Container }

// MakeContainer starts a container.
func MakeContainer(name string) *ContainerWrapper {
	return &ContainerWrapper{corev1.Container{Name: name, Image: "registry.example/" + name + ":1"}}
}

// Obj is the container.
func (w *ContainerWrapper) Obj() *corev1.Container { return w.DeepCopy() }

// Port declares a TCP port.
func (w *ContainerWrapper) Port(name string, number int32) *ContainerWrapper {
	w.Ports = append(w.Ports, corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP})
	return w
}

// Runs sets the command.
func (w *ContainerWrapper) Runs(command ...string) *ContainerWrapper {
	w.Command = command
	return w
}

// Limit sets a limit, and with it the request of the same size.
func (w *ContainerWrapper) Limit(name corev1.ResourceName, quantity string) *ContainerWrapper {
	if w.Resources.Limits == nil {
		w.Resources.Limits, w.Resources.Requests = corev1.ResourceList{}, corev1.ResourceList{}
	}
	w.Resources.Limits[name] = resource.MustParse(quantity)
	w.Resources.Requests[name] = resource.MustParse(quantity)
	return w
}

// PreStop sets the hook.
func (w *ContainerWrapper) PreStop(handler corev1.LifecycleHandler) *ContainerWrapper {
	if w.Lifecycle == nil {
		w.Lifecycle = &corev1.Lifecycle{}
	}
	w.Lifecycle.PreStop = &handler
	return w
}

// PreStopExec sets a hook that runs a command.
func (w *ContainerWrapper) PreStopExec(command ...string) *ContainerWrapper {
	return w.PreStop(corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}})
}

// PreStopSleep sets a native sleep hook.
func (w *ContainerWrapper) PreStopSleep(seconds int64) *ContainerWrapper {
	return w.PreStop(corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}})
}

// Mount mounts a volume.
func (w *ContainerWrapper) Mount(volume, path string) *ContainerWrapper {
	w.VolumeMounts = append(w.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path})
	return w
}

// Liveness sets an HTTP liveness probe on a port, by its number or name.
func (w *ContainerWrapper) Liveness(port intstr.IntOrString) *ContainerWrapper {
	w.LivenessProbe = httpProbe("/healthz", port)
	return w
}

// Readiness sets an HTTP readiness probe on a port, by its number or name.
func (w *ContainerWrapper) Readiness(port intstr.IntOrString) *ContainerWrapper {
	w.ReadinessProbe = httpProbe("/readyz", port)
	return w
}

// With edits what no other method does.
func (w *ContainerWrapper) With(edit func(*corev1.Container)) *ContainerWrapper {
	edit(&w.Container)
	return w
}

func httpProbe(path string, port intstr.IntOrString) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:     corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: port, Scheme: corev1.URISchemeHTTP}},
		PeriodSeconds:    10,
		TimeoutSeconds:   1,
		FailureThreshold: 3,
	}
}
