package agent

import (
	"net/netip"
	"os"
	"slices"
	"strings"
)

// ownHost is what the kubelet calls the pod in the requests that it makes: its
// address. Where that cannot be told, it is pod.
func ownHost() string {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		hosts = nil // the interfaces have to do
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	if addr := podAddress(string(hosts), name, interfaces()); addr.IsValid() {
		return addr.String()
	}
	return pod
}

// podAddress is the first of the interfaces' addresses by which /etc/hosts
// calls the host: the kubelet writes the pod's there, the primary one first. In
// a container with an /etc/hosts of its own it is the first interface's.
func podAddress(hosts, name string, own []netip.Addr) netip.Addr {
	for line := range strings.Lines(hosts) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.Contains(fields[1:], name) {
			continue
		}
		if addr, err := netip.ParseAddr(fields[0]); err == nil && slices.Contains(own, addr) {
			return addr
		}
	}
	if len(own) > 0 {
		return own[0]
	}
	return netip.Addr{}
}
