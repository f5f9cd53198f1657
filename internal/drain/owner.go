package drain

import (
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	kindReplicaSet  = "ReplicaSet"
	kindStatefulSet = "StatefulSet"
	kindDaemonSet   = "DaemonSet"

	// labelTemplateGeneration is on the pods of a DaemonSet.
	labelTemplateGeneration = "pod-template-generation"
)

// Owner is what a pod's controller wants, as far as it can be told.
type Owner struct {
	UID types.UID
	// Kind is ReplicaSet, StatefulSet or DaemonSet; empty for any other, for
	// none, and where it could not be read: then nothing is known.
	Kind string
	// Gone says that the owner does not exist any more, or is being deleted
	// with its pods.
	Gone bool
	// Replicas that a ReplicaSet or StatefulSet wants.
	Replicas int32
	// FirstOrdinal of a StatefulSet.
	FirstOrdinal int32
	// Partition is how many of a StatefulSet's first pods keep their revision.
	Partition int32
	// Revision is the value of RevisionLabel on pods of the newest revision;
	// empty when that is not known.
	RevisionLabel, Revision string
}

// OwnerOfReplicaSet reads an Owner from the object. It has one revision only: a
// Deployment's older ReplicaSets have a surplus instead.
func OwnerOfReplicaSet(rs *appsv1.ReplicaSet) Owner {
	if orphans(rs) {
		return Owner{UID: rs.UID}
	}
	return Owner{UID: rs.UID, Kind: kindReplicaSet, Gone: rs.DeletionTimestamp != nil, Replicas: replicas(rs.Spec.Replicas)}
}

// OwnerOfStatefulSet reads an Owner from the object. The newest revision counts
// whatever the update strategy: with OnDelete, too, a pod of an older one is
// deleted by hand to be replaced.
func OwnerOfStatefulSet(s *appsv1.StatefulSet) Owner {
	if orphans(s) {
		return Owner{UID: s.UID}
	}
	o := Owner{
		UID: s.UID, Kind: kindStatefulSet, Gone: s.DeletionTimestamp != nil,
		Replicas: replicas(s.Spec.Replicas), RevisionLabel: appsv1.ControllerRevisionHashLabelKey,
	}
	if s.Spec.Ordinals != nil {
		o.FirstOrdinal = s.Spec.Ordinals.Start
	}
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		o.Partition = *r.Partition
	}
	if s.Status.ObservedGeneration >= s.Generation { // else it tells of what was
		o.Revision = s.Status.UpdateRevision
	}
	return o
}

// OwnerOfDaemonSet reads an Owner from the object. A DaemonSet that was rolled
// back has a new generation for an old revision: its pods then look older than
// they are.
func OwnerOfDaemonSet(ds *appsv1.DaemonSet) Owner {
	if orphans(ds) {
		return Owner{UID: ds.UID}
	}
	return Owner{
		UID: ds.UID, Kind: kindDaemonSet, Gone: ds.DeletionTimestamp != nil,
		RevisionLabel: labelTemplateGeneration, Revision: ds.Annotations[appsv1.DeprecatedTemplateGeneration],
	}
}

// orphans says that an owner is being deleted and leaves its pods behind.
func orphans(o metav1.Object) bool {
	return o.GetDeletionTimestamp() != nil && slices.Contains(o.GetFinalizers(), metav1.FinalizerOrphanDependents)
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// owns says that a pod is one that the owner counts: its own, not about to go,
// and not ended.
func (o Owner) owns(pod *corev1.Pod) bool {
	ref := metav1.GetControllerOfNoCopy(pod)
	return ref != nil && ref.UID == o.UID && pod.DeletionTimestamp == nil &&
		pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// outdated says that a pod is of an older revision than the owner wants it to be.
func (o Owner) outdated(pod *corev1.Pod) bool {
	if o.Revision == "" || pod.Labels[o.RevisionLabel] == o.Revision {
		return false
	}
	at, known := ordinal(pod)
	return o.Kind != kindStatefulSet || !known || at >= o.FirstOrdinal+o.Partition
}

// beyond says that a StatefulSet wants no pod of this ordinal.
func (o Owner) beyond(pod *corev1.Pod) bool {
	at, known := ordinal(pod)
	return o.Kind == kindStatefulSet && known && (at < o.FirstOrdinal || at >= o.FirstOrdinal+o.Replicas)
}

// ordinal of a StatefulSet's pod: by its label, or else the end of its name.
func ordinal(pod *corev1.Pod) (int32, bool) {
	text, labelled := pod.Labels[appsv1.PodIndexLabel]
	if !labelled {
		text = pod.Name[strings.LastIndexByte(pod.Name, '-')+1:]
	}
	n, err := strconv.ParseInt(text, 10, 32)
	return int32(n), err == nil && n >= 0
}
