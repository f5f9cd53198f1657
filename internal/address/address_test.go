package address

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	build "github.com/drain-operator/drain-operator/internal/testing"
)

func TestPodAddress(t *testing.T) {
	pod := func(ip string, edit func(*corev1.Pod)) *corev1.Pod {
		p := build.MakePod("a").Obj()
		p.Status.PodIP, p.Status.HostIP = ip, "192.0.2.1"
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "metrics", ContainerPort: 9090}}}}
		p.Spec.InitContainers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: "proxy", ContainerPort: 15090}}}}
		if edit != nil {
			edit(p)
		}
		return p
	}
	metrics := intstr.FromString("metrics")
	tests := map[string]struct {
		pod  *corev1.Pod
		port intstr.IntOrString
		want string // empty: refused
	}{
		"a name":               {pod("10.0.0.1", nil), metrics, "10.0.0.1:9090"},
		"a number":             {pod("10.0.0.1", nil), intstr.FromInt32(80), "10.0.0.1:80"},
		"a sidecar's":          {pod("10.0.0.1", nil), intstr.FromString("proxy"), "10.0.0.1:15090"},
		"IPv6":                 {pod("fd00::1", nil), metrics, "[fd00::1]:9090"},
		"IPv4 within IPv6":     {pod("::ffff:10.0.0.1", nil), metrics, "10.0.0.1:9090"},
		"UDP":                  {pod("10.0.0.1", nil), intstr.FromString("dns"), ""},
		"no such name":         {pod("10.0.0.1", nil), intstr.FromString("web"), ""},
		"no port":              {pod("10.0.0.1", nil), intstr.FromInt32(0), ""},
		"no address":           {pod("", nil), metrics, ""},
		"a name as an address": {pod("metadata.internal", nil), metrics, ""},
		"the node's address":   {pod("192.0.2.1", nil), metrics, ""},
		"one of the node's":    {pod("192.0.2.2", func(p *corev1.Pod) { p.Status.HostIPs = []corev1.HostIP{{IP: "192.0.2.2"}} }), metrics, ""},
		"the node's network":   {pod("10.0.0.1", func(p *corev1.Pod) { p.Spec.HostNetwork = true }), metrics, ""},
		"loopback":             {pod("127.0.0.1", nil), metrics, ""},
		"loopback within IPv6": {pod("::ffff:127.0.0.1", nil), metrics, ""},
		"link-local":           {pod("169.254.169.254", nil), metrics, ""},
		"link-local with zone": {pod("fe80::1%eth0", nil), metrics, ""},
		"multicast":            {pod("224.0.0.1", nil), metrics, ""},
		"unspecified":          {pod("0.0.0.0", nil), metrics, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Of(tc.pod, tc.port, false)
			switch {
			case tc.want == "" && err == nil:
				t.Errorf("got %v, want an error", got)
			case tc.want != "" && (err != nil || got.String() != tc.want):
				t.Errorf("got %v, %v; want %s", got, err, tc.want)
			}
		})
	}
}
