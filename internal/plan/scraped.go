package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// withoutScraped leaves out the port that metrics pages are read on, where
// other ports remain and nothing but metrics seems to be there: scrapes go on
// while a pod ends, and each would be taken for new work. The pod's name for the
// port must say so, since connections to a port that is left out count for
// nothing: requests that are served there would be cut.
func withoutScraped(ports []int32, spec *corev1.PodSpec, s settings) []int32 {
	if s.scraped == nil {
		return ports
	}
	scraped, found := podPort(spec, *s.scraped)
	if !found || !isForMetrics(spec, scraped) {
		return ports
	}
	rest := slices.DeleteFunc(slices.Clone(ports), func(port int32) bool { return port == scraped })
	if len(rest) == 0 {
		return ports
	}
	return rest
}

// isForMetrics says that every name of a TCP port ends in a word for metrics,
// and that no readiness probe uses it.
func isForMetrics(spec *corev1.PodSpec, port int32) bool {
	named := false
	for c := range longRunning(spec) {
		if p := probeOf(c, c.ReadinessProbe); p != nil && p.Port == port {
			return false
		}
		for _, declared := range c.Ports {
			if declared.ContainerPort != port || !isTCP(declared) {
				continue
			}
			if !saysMetrics(declared.Name) {
				return false
			}
			named = true
		}
	}
	return named
}

// saysMetrics reports whether a port's name is one of those that are common for
// metrics: metrics, http-metrics, prometheus.
func saysMetrics(name string) bool {
	switch name[strings.LastIndexByte(name, '-')+1:] {
	case "metrics", "prom", "prometheus":
		return true
	}
	return false
}
