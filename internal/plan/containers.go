package plan

import (
	"iter"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
)

// proxyNames are the containers that service meshes put beside the app. They
// redirect the pod's traffic through themselves.
var proxyNames = sets.New(
	"istio-proxy",
	"linkerd-proxy",
	"kuma-sidecar",
	"consul-dataplane",
	"consul-connect-envoy-sidecar",
	"envoy-sidecar",
	"nginx-mesh-sidecar",
)

// Below these limits the agent could harm the container that it runs in.
var (
	smallMemory = resource.MustParse("64Mi")
	smallCPU    = resource.MustParse("50m")
)

// longRunning yields the containers that run as long as the pod does: regular
// ones and native sidecars.
func longRunning(spec *corev1.PodSpec) iter.Seq[*corev1.Container] {
	return func(yield func(*corev1.Container) bool) {
		for i := range spec.Containers {
			if !yield(&spec.Containers[i]) {
				return
			}
		}
		for i := range spec.InitContainers {
			if isSidecar(&spec.InitContainers[i]) && !yield(&spec.InitContainers[i]) {
				return
			}
		}
	}
}

// isSidecar reports whether an init container is a native sidecar.
func isSidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// restartProbes yields the probes by which the kubelet restarts a container.
func restartProbes(c *corev1.Container) iter.Seq2[ProbeKind, *corev1.Probe] {
	return func(yield func(ProbeKind, *corev1.Probe) bool) {
		if c.LivenessProbe != nil && !yield(LivenessProbe, c.LivenessProbe) {
			return
		}
		if c.StartupProbe != nil {
			yield(StartupProbe, c.StartupProbe)
		}
	}
}

// apps are the regular containers that are no injected proxies. A proxy that
// has no app beside it is the app: a gateway.
func apps(spec *corev1.PodSpec) []*corev1.Container {
	var found []*corev1.Container
	for i := range spec.Containers {
		if !proxyNames.Has(spec.Containers[i].Name) {
			found = append(found, &spec.Containers[i])
		}
	}
	if len(found) > 0 {
		return found
	}
	for i := range spec.Containers {
		found = append(found, &spec.Containers[i])
	}
	return found
}

// proxied reports whether a proxy runs beside the apps.
func proxied(spec *corev1.PodSpec) bool {
	ours := sets.New[string]()
	for _, app := range apps(spec) {
		ours.Insert(app.Name)
	}
	for c := range longRunning(spec) {
		if proxyNames.Has(c.Name) && !ours.Has(c.Name) {
			return true
		}
	}
	return false
}

// isSmall reports whether the container's limits, or else the pod's, are too
// tight for the agent.
func isSmall(c *corev1.Container, spec *corev1.PodSpec) bool {
	return below(c, spec, corev1.ResourceMemory, smallMemory) || below(c, spec, corev1.ResourceCPU, smallCPU)
}

func below(c *corev1.Container, spec *corev1.PodSpec, name corev1.ResourceName, least resource.Quantity) bool {
	limit, found := c.Resources.Limits[name]
	if !found && spec.Resources != nil {
		limit = spec.Resources.Limits[name]
	}
	return !limit.IsZero() && limit.Cmp(least) < 0 // 0 is no limit
}

// declaredTCP are the numbers of the TCP ports that a container declares.
func declaredTCP(c *corev1.Container) []int32 {
	var ports []int32
	for _, port := range c.Ports {
		if isTCP(port) {
			ports = append(ports, port.ContainerPort)
		}
	}
	return ports
}

func isTCP(port corev1.ContainerPort) bool {
	return port.Protocol == "" || port.Protocol == corev1.ProtocolTCP
}

// declaresAny reports whether a container declares one of the TCP ports.
func declaresAny(c *corev1.Container, ports []int32) bool {
	return slices.ContainsFunc(declaredTCP(c), func(port int32) bool { return slices.Contains(ports, port) })
}
