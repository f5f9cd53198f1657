package store

import (
	"strings"
	"sync"
	"weak"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/server"
)

// Transforms make objects small before they enter the cache: ten thousand pods
// are kept for what the operator reads of them, not for what they are. They
// must give the same result when they see their own.

// Trim drops what the operator reads of no object.
func Trim(obj any) (any, error) {
	if accessor, err := meta.Accessor(obj); err == nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

// TrimPod keeps of a pod what says whether it is left alone, what was
// injected, which HTTP servers it runs, where it answers, whether it is ready, and how it ends. Such a pod
// must never be written back.
func TrimPod(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return Trim(obj)
	}
	pod.ManagedFields = nil
	pod.Spec.Tolerations = nil
	pod.Spec.TopologySpreadConstraints = nil
	pod.Spec.ImagePullSecrets = nil
	pod.Spec.HostAliases = nil
	pod.Spec.DNSConfig = nil
	pod.Spec.Volumes = onlyOurs(pod.Spec.Volumes)
	trimContainers(pod.Spec.Containers)
	trimContainers(pod.Spec.InitContainers)
	pod.Spec.EphemeralContainers = nil
	pod.Status.PodIPs = nil
	if len(pod.Status.HostIPs) < 2 { // the first one is HostIP
		pod.Status.HostIPs = nil
	}
	pod.Status.EphemeralContainerStatuses = nil
	return pod, nil
}

// PodTrim returns TrimPod for a cache in which pods of one owner share what
// they have from its template: with ten pods each, that is most of what is
// kept of them. What is cached must not be changed in place.
func PodTrim() func(any) (any, error) {
	t := &templates{newest: map[types.UID]weak.Pointer[corev1.Pod]{}}
	return func(obj any) (any, error) {
		trimmed, err := TrimPod(obj)
		if pod, ok := trimmed.(*corev1.Pod); ok && err == nil {
			t.share(pod)
		}
		return trimmed, err
	}
}

// maxTemplates bounds the owners whose newest pod is remembered, some 1 MiB.
// It keeps no pod alive.
const maxTemplates = 16 << 10

// templates remembers the pod of each owner that was seen last.
type templates struct {
	mu     sync.Mutex
	newest map[types.UID]weak.Pointer[corev1.Pod]
}

func (t *templates) share(pod *corev1.Pod) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.newest[owner.UID].Value(); other != nil && other != pod {
		reuse(&pod.Labels, other.Labels)
		reuse(&pod.Annotations, other.Annotations)
		reuse(&pod.OwnerReferences, other.OwnerReferences)
		reuse(&pod.Spec.Volumes, other.Spec.Volumes)
		reuse(&pod.Spec.Containers, other.Spec.Containers)
		reuse(&pod.Spec.InitContainers, other.Spec.InitContainers)
		reuse(&pod.Spec.NodeSelector, other.Spec.NodeSelector)
		reuse(&pod.Spec.ReadinessGates, other.Spec.ReadinessGates)
		reuse(&pod.Spec.SecurityContext, other.Spec.SecurityContext)
		reuse(&pod.Spec.Affinity, other.Spec.Affinity)
	}
	if len(t.newest) >= maxTemplates {
		clear(t.newest)
	}
	t.newest[owner.UID] = weak.Make(pod)
}

// reuse puts the other one in the place of an equal value.
func reuse[T any](mine *T, other T) {
	if equality.Semantic.DeepEqual(*mine, other) {
		*mine = other
	}
}

func onlyOurs(volumes []corev1.Volume) []corev1.Volume {
	var kept []corev1.Volume
	for _, volume := range volumes {
		if strings.HasPrefix(volume.Name, plan.VolumeName) {
			kept = append(kept, volume)
		}
	}
	return kept
}

func trimContainers(containers []corev1.Container) {
	for i := range containers {
		c := &containers[i]
		server.Trim(c)
		c.VolumeMounts, c.VolumeDevices = nil, nil
		c.SecurityContext, c.ResizePolicy = nil, nil
	}
}

// TrimNode keeps of a node its name, what software it runs, and the labels by
// which its notice is known.
func TrimNode(ceilings condition.Ceilings) func(any) (any, error) {
	return func(obj any) (any, error) {
		node, ok := obj.(*corev1.Node)
		if !ok {
			return Trim(obj)
		}
		trimmed := &corev1.Node{TypeMeta: node.TypeMeta}
		trimmed.Name, trimmed.UID, trimmed.ResourceVersion = node.Name, node.UID, node.ResourceVersion
		for _, n := range ceilings.Notices {
			if value, labelled := node.Labels[n.Label]; labelled {
				metav1.SetMetaDataLabel(&trimmed.ObjectMeta, n.Label, value)
			}
		}
		info := node.Status.NodeInfo
		trimmed.Status.NodeInfo = corev1.NodeSystemInfo{
			OperatingSystem:         info.OperatingSystem,
			KubeletVersion:          info.KubeletVersion,
			ContainerRuntimeVersion: info.ContainerRuntimeVersion,
		}
		return trimmed, nil
	}
}
