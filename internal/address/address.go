// Package address says where the operator may connect to a pod. It is pure.
package address

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Of a pod's port is the pod's own address or an error: never the node's, whose
// ports are not the pod's alone, and none by which the operator would reach
// itself or its node. Tests may allow loopback.
func Of(pod *corev1.Pod, port intstr.IntOrString, loopback bool) (netip.AddrPort, error) {
	number, err := portOf(pod, port)
	if err != nil {
		return netip.AddrPort{}, err
	}
	ip, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil {
		return netip.AddrPort{}, errors.New("has no address yet")
	}
	ip = ip.Unmap()
	switch {
	case pod.Spec.HostNetwork || isHost(pod, ip):
		return netip.AddrPort{}, errors.New("is in the network of its node, whose ports are not its own")
	case ip.IsLoopback() && loopback:
	case !ip.IsGlobalUnicast() || ip.Zone() != "":
		return netip.AddrPort{}, fmt.Errorf("has the address %v, which is no pod's", ip)
	}
	return netip.AddrPortFrom(ip, number), nil
}

func isHost(pod *corev1.Pod, ip netip.Addr) bool {
	hosts := []string{pod.Status.HostIP}
	for _, h := range pod.Status.HostIPs {
		hosts = append(hosts, h.IP)
	}
	return slices.ContainsFunc(hosts, func(h string) bool {
		host, err := netip.ParseAddr(h)
		return err == nil && host.Unmap() == ip
	})
}

// portOf resolves the name of a container port, those of sidecars included.
func portOf(pod *corev1.Pod, port intstr.IntOrString) (uint16, error) {
	if port.Type == intstr.Int {
		return validPort(port.IntVal)
	}
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for _, c := range containers {
			for _, p := range c.Ports {
				if p.Name == port.StrVal && (p.Protocol == "" || p.Protocol == corev1.ProtocolTCP) {
					return validPort(p.ContainerPort)
				}
			}
		}
	}
	return 0, fmt.Errorf("has no TCP port named %q", port.StrVal)
}

func validPort(n int32) (uint16, error) {
	if n < 1 || n > 65535 {
		return 0, fmt.Errorf("port %d is none", n)
	}
	return uint16(n), nil
}
