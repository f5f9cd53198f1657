package plan

import (
	"cmp"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// maxProbeBytes bounds a probe that is passed on to the agent: every hook
// carries all readiness probes of the pod, and a pod must fit into etcd.
const maxProbeBytes = 1 << 10

// httpStatus translates the policy's endpoint.
func httpStatus(s *v1alpha1.HTTPDrainStatus, port int32) *hold.HTTP {
	status := &hold.HTTP{
		Port:           port,
		Path:           cmp.Or(s.Path, "/drain-status"),
		Scheme:         string(cmp.Or(s.Scheme, v1alpha1.SchemeHTTP)),
		TimeoutSeconds: cmp.Or(s.TimeoutSeconds, 2),
		PeriodSeconds:  cmp.Or(s.PeriodSeconds, 1),
		DrainedWhen:    string(cmp.Or(s.DrainedWhen, v1alpha1.DrainedWhenBody)),
	}
	if s.Metric != nil {
		status.Metric, status.MatchLabels = s.Metric.Name, s.Metric.MatchLabels
	}
	return status
}

func notifyOf(n *v1alpha1.Notify, port int32) *hold.Notify {
	return &hold.Notify{Port: port, Path: cmp.Or(n.Path, "/drain")}
}

// readinessProbes are those of all containers: they go on during termination.
func readinessProbes(spec *corev1.PodSpec) []hold.Probe {
	var probes []hold.Probe
	for c := range longRunning(spec) {
		if probe := probeOf(c, c.ReadinessProbe); probe != nil {
			probes = append(probes, *probe)
		}
	}
	return probes
}

// aliveProbe is what says that a container is dead rather than told to end.
func aliveProbe(c *corev1.Container) *hold.Probe {
	if c.LivenessProbe != nil {
		return probeOf(c, c.LivenessProbe)
	}
	return probeOf(c, c.StartupProbe)
}

// probeOf translates a container's probe; nil when there is none, when its
// port has a name that the container does not know, or when it is too large.
func probeOf(c *corev1.Container, p *corev1.Probe) *hold.Probe {
	if p == nil {
		return nil
	}
	probe := &hold.Probe{
		PeriodSeconds:    cmp.Or(p.PeriodSeconds, 10),
		TimeoutSeconds:   cmp.Or(p.TimeoutSeconds, 1),
		FailureThreshold: cmp.Or(p.FailureThreshold, 3),
	}
	found := true
	switch {
	case p.Exec != nil:
		probe.Exec = p.Exec.Command
	case p.HTTPGet != nil:
		probe.Host, probe.HTTPPath = p.HTTPGet.Host, cmp.Or(p.HTTPGet.Path, "/")
		probe.Scheme, probe.Headers = string(p.HTTPGet.Scheme), headers(p.HTTPGet.HTTPHeaders)
		probe.Port, found = containerPort(c, p.HTTPGet.Port)
	case p.TCPSocket != nil:
		probe.Host = p.TCPSocket.Host
		probe.Port, found = containerPort(c, p.TCPSocket.Port)
	case p.GRPC != nil:
		probe.GRPC, probe.Port = true, p.GRPC.Port
	}
	if !found || encodedBytes(probe) > maxProbeBytes {
		return nil
	}
	return probe
}

// existingHook translates a container's own hook. ok is false for one that
// the kubelet cannot run either: tcpSocket, or a port that does not exist.
func existingHook(c *corev1.Container, hook *corev1.LifecycleHandler, last bool) (translated *hold.ExistingHook, ok bool) {
	switch {
	case hook.Exec != nil:
		return &hold.ExistingHook{Last: last, Exec: hook.Exec.Command}, true
	case hook.Sleep != nil:
		return &hold.ExistingHook{Last: last, SleepSeconds: hook.Sleep.Seconds}, true
	case hook.HTTPGet != nil:
		get := hook.HTTPGet
		port, found := containerPort(c, get.Port)
		return &hold.ExistingHook{
			Last: last, Host: get.Host, Port: port, HTTPPath: cmp.Or(get.Path, "/"),
			Scheme: string(get.Scheme), Headers: headers(get.HTTPHeaders),
		}, found
	}
	return nil, false
}

func headers(from []corev1.HTTPHeader) []hold.Header {
	var to []hold.Header
	for _, h := range from {
		to = append(to, hold.Header{Name: h.Name, Value: h.Value})
	}
	return to
}

// encodedBytes is the size of a value's JSON. What has none counts as too large.
func encodedBytes(v any) int {
	encoded, err := json.Marshal(v)
	if err != nil {
		return maxAnnotationBytes
	}
	return len(encoded)
}
