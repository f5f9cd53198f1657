package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDecideDelivery(t *testing.T) {
	node := func(os, kubelet, runtime string) corev1.Node {
		return corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: "n"},
			Status: corev1.NodeStatus{NodeInfo: corev1.NodeSystemInfo{
				OperatingSystem: os, KubeletVersion: kubelet, ContainerRuntimeVersion: runtime,
			}},
		}
	}
	good := node("linux", "v1.36.3", "containerd://2.3.7")
	for name, tc := range map[string]struct {
		nodes  []corev1.Node
		want   Delivery
		reason string
	}{
		"no node is known":           {nil, InitContainer, "no Linux node is known yet"},
		"all can":                    {[]corev1.Node{good, good}, ImageVolume, "all Linux nodes (2) can mount images"},
		"the oldest that can":        {[]corev1.Node{node("linux", "v1.35.0", "containerd://2.1.0")}, ImageVolume, "all Linux nodes (1) can mount images"},
		"a vendor's suffixes":        {[]corev1.Node{node("linux", "v1.36.1-eks-1a2b3c4", "containerd://2.1.4+unknown")}, ImageVolume, "all Linux nodes (1) can mount images"},
		"CRI-O":                      {[]corev1.Node{node("linux", "v1.36.1", "cri-o://1.36.0")}, ImageVolume, "all Linux nodes (1) can mount images"},
		"Windows nodes do not count": {[]corev1.Node{good, node("windows", "v1.30.0", "containerd://1.7.1")}, ImageVolume, "all Linux nodes (1) can mount images"},
		"only Windows nodes":         {[]corev1.Node{node("windows", "v1.36.0", "containerd://2.3.0")}, InitContainer, "no Linux node is known yet"},
		"one old kubelet":            {[]corev1.Node{good, node("linux", "v1.34.9", "containerd://2.3.7")}, InitContainer, `node n: kubelet "v1.34.9" is not known to be 1.35 or later`},
		"one old containerd":         {[]corev1.Node{good, node("linux", "v1.36.3", "containerd://1.6.20~ds1")}, InitContainer, `node n: container runtime "containerd://1.6.20~ds1" is not known to be 2.1 or later`},
		"one old CRI-O":              {[]corev1.Node{node("linux", "v1.36.3", "cri-o://1.32.9")}, InitContainer, `node n: container runtime "cri-o://1.32.9" is not known to be 1.33 or later`},
		"an unknown runtime":         {[]corev1.Node{node("linux", "v1.36.3", "docker://29.0.0")}, InitContainer, `node n: container runtime "docker://29.0.0" is not known to mount images`},
		"no runtime":                 {[]corev1.Node{node("linux", "v1.36.3", "")}, InitContainer, `node n: container runtime "" is not known to mount images`},
		"a kubelet of no version":    {[]corev1.Node{node("linux", "virtual", "containerd://2.3.7")}, InitContainer, `node n: kubelet "virtual" is not known to be 1.35 or later`},
		"a node that said nothing":   {[]corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n"}}}, InitContainer, `node n: kubelet "" is not known to be 1.35 or later`},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason := DecideDelivery(tc.nodes)
			if got != tc.want || reason != tc.reason {
				t.Errorf("got %s, %q; want %s, %q", got, reason, tc.want, tc.reason)
			}
		})
	}
}
