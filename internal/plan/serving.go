package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// serving is how a pod's work arrives and how its drain is read: the same for
// all of its containers.
type serving struct {
	// servers are the containers that serve the drained ports.
	servers sets.Set[string]
	// ports on which work arrives; none = every port that is listened on.
	ports []int32
	// followPorts are those whose listeners the other containers wait for.
	followPorts []int32

	http   *hold.HTTP
	tcp    *hold.TCP
	notify *hold.Notify
	blind  bool

	readiness []hold.Probe
	notes     []Note
}

// servingOf reads it from a pod that is not injected.
func servingOf(spec *corev1.PodSpec, s settings) serving {
	v := serving{
		blind:     spec.HostNetwork || proxied(spec),
		readiness: readinessProbes(spec),
	}
	v.readStatus(spec, s)
	v.readNotify(spec, s)
	v.findServers(spec, s)
	if v.blind {
		v.note(NoteBlind, "host network or a proxy in the pod: rotation cannot be seen, propagationMaxSeconds is waited for")
	}
	return v
}

func (v *serving) note(reason NoteReason, message string) {
	v.notes = append(v.notes, Note{Reason: reason, Message: message})
}

// readStatus falls back to the TCP status when the endpoint's port has a name
// that no container knows.
func (v *serving) readStatus(spec *corev1.PodSpec, s settings) {
	const defaultIdleSeconds = 2
	if s.http == nil {
		v.tcp = &hold.TCP{IdleSeconds: defaultIdleSeconds}
		if s.tcp != nil && s.tcp.IdleSeconds > 0 {
			v.tcp.IdleSeconds = s.tcp.IdleSeconds
		}
		return
	}
	port, found := podPort(spec, s.http.Port)
	if !found {
		v.note(NotePortNotFound, fmt.Sprintf("no container has a TCP port named %s: the drain status is read from TCP connections", s.http.Port.StrVal))
		v.tcp = &hold.TCP{IdleSeconds: defaultIdleSeconds}
		return
	}
	v.http = httpStatus(s.http, port)
}

func (v *serving) readNotify(spec *corev1.PodSpec, s settings) {
	if s.notify == nil {
		return
	}
	port, found := podPort(spec, s.notify.Port)
	if !found {
		v.note(NoteNotifyPortNotFound, fmt.Sprintf("no container has a TCP port named %s: the workload is not told that it drains", s.notify.Port.StrVal))
		return
	}
	v.notify = notifyOf(s.notify, port)
	if v.http != nil && v.http.Port == port { // one listener speaks one protocol
		v.notify.Scheme = v.http.Scheme
	}
}

// findServers tells the containers that serve the drained ports from those
// beside them. Where none declares one of these ports, all serve.
func (v *serving) findServers(spec *corev1.PodSpec, s settings) {
	all := apps(spec)
	servers := slices.Clone(all)
	switch wanted := v.drainedPorts(s); {
	case len(wanted) > 0:
		servers = slices.DeleteFunc(servers, func(c *corev1.Container) bool { return !declaresAny(c, wanted) })
	default:
		servers = slices.DeleteFunc(servers, func(c *corev1.Container) bool { return len(declaredTCP(c)) == 0 })
	}
	if len(servers) == 0 {
		servers = all
	}
	v.servers = sets.New[string]()
	for _, c := range servers {
		v.servers.Insert(c.Name)
		v.ports = append(v.ports, declaredTCP(c)...)
	}
	v.ports = withoutScraped(v.ports, spec, s)
	if s.http == nil && s.tcp != nil && len(s.tcp.Ports) > 0 {
		v.ports = s.tcp.Ports
	}
	v.ports = sorted(v.ports)
	v.followPorts = v.ports
	if len(v.ports) == 0 {
		v.followPorts = v.hintedPorts(servers)
	}
}

// drainedPorts are the ports by which the policy says who serves.
func (v *serving) drainedPorts(s settings) []int32 {
	var ports []int32
	switch {
	case v.http != nil:
		ports = append(ports, v.http.Port)
	case s.http == nil && s.tcp != nil:
		ports = append(ports, s.tcp.Ports...)
	}
	if v.notify != nil && v.http != nil {
		ports = append(ports, v.notify.Port)
	}
	return ports
}

// hintedPorts are where servers that declare no port are known to listen: a
// follower that waited for every listener would wait for its own.
func (v *serving) hintedPorts(servers []*corev1.Container) []int32 {
	var ports []int32
	if v.http != nil {
		ports = append(ports, v.http.Port)
	}
	for _, c := range servers {
		for _, probe := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe} {
			if p := probeOf(c, probe); p != nil && p.Port > 0 {
				ports = append(ports, p.Port)
			}
		}
	}
	return sorted(ports)
}

// podPort resolves a port of the policy over all containers of the pod.
func podPort(spec *corev1.PodSpec, port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, true
	}
	for c := range longRunning(spec) {
		if number, found := containerPort(c, port); found {
			return number, true
		}
	}
	return 0, false
}

// containerPort resolves a port as the kubelet does: among the container's own.
func containerPort(c *corev1.Container, port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, true
	}
	for _, declared := range c.Ports {
		if declared.Name == port.StrVal && isTCP(declared) {
			return declared.ContainerPort, true
		}
	}
	return 0, false
}

func sorted(ports []int32) []int32 {
	ports = slices.Clone(ports)
	slices.Sort(ports)
	return slices.Compact(ports)
}
