package drain

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Wanted says whether a pod's end is still wanted: end is why it is not.
//
// A wish of the workload's own controller is wanted exactly as long as the
// owner has a reason: a surplus (of the pods with such wishes as many as there
// are too many: those out of rotation first, then the oldest), an old revision,
// an ordinal beyond its replicas, or because it is gone. Any other wish is
// wanted then, too, and else until WishExpires after it was last asked.
//
// A DaemonSet's controller has reasons that the DaemonSet does not tell, such
// as a node that no longer matches: its wishes expire as others do.
func Wanted(pod *corev1.Pod, w Wish, o Owner, neighbours []*corev1.Pod, now time.Time) (wanted bool, end HoldEnd) {
	switch {
	case o.Gone, o.outdated(pod), o.beyond(pod), o.surplus(pod, neighbours):
		return true, ""
	case w.ByWorkload() && o.tellsAll():
		return false, EndTakenBack
	case now.Before(w.LastAsked.Add(WishExpires)):
		return true, ""
	default:
		return false, EndExpired
	}
}

// tellsAll says that the controller of such an owner deletes pods for no reason
// but those that the owner tells.
func (o Owner) tellsAll() bool {
	return o.Kind == kindReplicaSet || o.Kind == kindStatefulSet && o.Revision != ""
}

// surplus says that a ReplicaSet has too many pods, and that this is one of
// those to go. A pod that has begun to leave is not exchanged for another.
func (o Owner) surplus(pod *corev1.Pod, neighbours []*corev1.Pod) bool {
	if o.Kind != kindReplicaSet {
		return false
	}
	var asked []candidate
	tooMany := -int(o.Replicas)
	for _, p := range neighbours {
		if !o.owns(p) {
			continue
		}
		tooMany++
		if w, ok := WishOf(p); ok {
			asked = append(asked, candidate{pod: p, wish: w})
		}
	}
	slices.SortFunc(asked, compareCandidates)
	chosen := asked[:max(0, min(tooMany, len(asked)))]
	return slices.ContainsFunc(chosen, func(c candidate) bool { return c.pod.UID == pod.UID })
}

// candidate for going, of a surplus.
type candidate struct {
	pod  *corev1.Pod
	wish Wish
}

// compareCandidates puts those first that go first: the choice of the
// workload's own controller before any other.
func compareCandidates(a, b candidate) int {
	return cmp.Or(
		falseFirst(!a.wish.ByWorkload(), !b.wish.ByWorkload()),
		falseFirst(!OutOfRotation(a.pod), !OutOfRotation(b.pod)),
		a.wish.Since.Compare(b.wish.Since),
		cmp.Compare(a.pod.Name, b.pod.Name),
	)
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
