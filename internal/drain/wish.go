package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// WishExpires is how long after it was last asked a wish is still one, where
// nothing else tells.
const WishExpires = 5 * time.Minute

// AskedAgain is the least time between two records of the same wish.
const AskedAgain = 30 * time.Second

// Wish is that a pod end, as it is recorded in the pod's condition
// PodDeletionRequested: status True; reason the Kind; lastTransitionTime Since,
// lastProbeTime LastAsked; message a JSON object of at most 1 KiB
// {"by": "<user>", "graceSeconds": 30}.
type Wish struct {
	Kind Kind
	// By is who asked last.
	By string
	// GraceSeconds that was asked for, nil when none was, or the pod's own.
	GraceSeconds *int64
	// Since is when it was first refused, LastAsked when it was last recorded.
	Since, LastAsked time.Time
}

// WishOf reads the wish from a pod's condition; false when there is none, or
// none that can be read.
func WishOf(pod *corev1.Pod) (Wish, bool) { panic("to be written") }

// Condition records the wish.
func (w Wish) Condition() corev1.PodCondition { panic("to be written") }

// Until is when a pod with this wish is let go at the latest.
func (w Wish) Until(maxHold time.Duration) time.Time { return w.Since.Add(maxHold) }

// merged is the wish of a pod after one more Ask: whoever asks for a DELETE is
// not content with an Eviction; an Eviction after a DELETE takes nothing back.
// write is false when that is recorded already, not AskedAgain ago.
func merged(pod *corev1.Pod, ask Ask, now time.Time) (w Wish, write bool) { panic("to be written") }
