package drain

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Owner is what a pod's controller wants, as far as it can be told.
type Owner struct {
	UID types.UID
	// Kind is ReplicaSet, StatefulSet or DaemonSet; empty for any other, for
	// none, and where it could not be read: then nothing is known.
	Kind string
	// Gone says that the owner does not exist any more, or is being deleted.
	Gone bool
	// Replicas that a ReplicaSet or StatefulSet wants.
	Replicas int32
	// FirstOrdinal of a StatefulSet.
	FirstOrdinal int32
	// Revision is the value of RevisionLabel on pods of the newest revision;
	// empty when that is not known.
	RevisionLabel, Revision string
}

// OwnerOfReplicaSet and its like read an Owner from the object.
func OwnerOfReplicaSet(rs *appsv1.ReplicaSet) Owner  { panic("to be written") }
func OwnerOfStatefulSet(s *appsv1.StatefulSet) Owner { panic("to be written") }
func OwnerOfDaemonSet(ds *appsv1.DaemonSet) Owner    { panic("to be written") }

// Wanted says whether a pod's end is still wanted: end is why it is not.
//
// A wish of the workload's own controller is wanted exactly as long as the
// owner has a reason: a surplus (of the pods with such wishes the oldest,
// as many as there are too many), an old revision, an ordinal beyond its
// replicas, or because it is gone. Any other wish is wanted then, too, and else
// until WishExpires after it was last asked.
func Wanted(pod *corev1.Pod, w Wish, o Owner, neighbours []*corev1.Pod, now time.Time) (wanted bool, end HoldEnd) {
	panic("to be written")
}
