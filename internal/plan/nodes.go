package plan

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// The oldest versions with which an image volume with a subPath is known to
// work without anything being switched on (KEP-4639). A kubelet is never newer
// than its API server, so the server needs no look of its own.
var (
	imageVolumeKubelet  = version.MajorMinor(1, 35)
	imageVolumeRuntimes = map[string]*version.Version{
		"containerd": version.MajorMinor(2, 1),
		"cri-o":      version.MajorMinor(1, 33),
	}
)

// DecideDelivery picks the way in which the agent gets into pods: by image
// volume when every Linux node is known to do it, else by init container,
// which works everywhere. The reason is for people.
func DecideDelivery(nodes []corev1.Node) (Delivery, string) {
	linux := 0
	for i := range nodes {
		info := nodes[i].Status.NodeInfo
		if info.OperatingSystem == string(corev1.Windows) {
			continue
		}
		linux++
		if obstacle := imageVolumeObstacle(info); obstacle != "" {
			return InitContainer, fmt.Sprintf("node %s: %s", nodes[i].Name, obstacle)
		}
	}
	if linux == 0 {
		return InitContainer, "no Linux node is known yet"
	}
	return ImageVolume, fmt.Sprintf("all Linux nodes (%d) can mount images", linux)
}

// imageVolumeObstacle says why a node cannot mount an image; empty when it can.
func imageVolumeObstacle(info corev1.NodeSystemInfo) string {
	kubelet, err := version.ParseGeneric(info.KubeletVersion)
	if err != nil || kubelet.LessThan(imageVolumeKubelet) {
		return fmt.Sprintf("kubelet %q is not known to be %s or later", info.KubeletVersion, imageVolumeKubelet)
	}
	name, number, _ := strings.Cut(info.ContainerRuntimeVersion, "://")
	oldest, known := imageVolumeRuntimes[name]
	if !known {
		return fmt.Sprintf("container runtime %q is not known to mount images", info.ContainerRuntimeVersion)
	}
	runtime, err := version.ParseGeneric(number)
	if err != nil || runtime.LessThan(oldest) {
		return fmt.Sprintf("container runtime %q is not known to be %s or later", info.ContainerRuntimeVersion, oldest)
	}
	return ""
}
