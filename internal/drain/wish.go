package drain

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// WishExpires is how long after it was last asked a wish is still one, where
// nothing else tells.
const WishExpires = 5 * time.Minute

// AskedAgain is the least time between two records of the same wish, and by
// how much the clocks of two replicas may differ.
const AskedAgain = 30 * time.Second

const (
	// maxWishMessage bounds the condition's message, in bytes.
	maxWishMessage = 1024
	// maxBy bounds the name of who asked, in bytes: quotes double in JSON.
	maxBy = 480
)

// Wish is that a pod end, as it is recorded in the pod's condition
// PodDeletionRequested: status True; reason the Kind; lastTransitionTime Since,
// lastProbeTime LastAsked; message a JSON object of at most 1 KiB
// {"by": "<user>", "graceSeconds": 30}.
type Wish struct {
	Kind Kind
	// By is who asked last for this Kind; printable, and the first 480 bytes.
	// Somebody else stays it when the workload's controller asks, too.
	By string
	// GraceSeconds that was asked for, nil when none was, or the pod's own.
	// Never less than 1.
	GraceSeconds *int64
	// Since is when it was first refused, LastAsked when it was last recorded.
	// Both are whole seconds, as the API keeps them.
	Since, LastAsked time.Time
}

// wishMessage is the part of a wish that a condition has no field for.
type wishMessage struct {
	By           string `json:"by"`
	GraceSeconds *int64 `json:"graceSeconds,omitempty"`
}

// workloadControllers are the users who delete pods for the workload that owns
// them. The last is all of kube-controller-manager, where its controllers have
// no accounts of their own.
var workloadControllers = []string{
	"system:serviceaccount:kube-system:replicaset-controller",
	"system:serviceaccount:kube-system:statefulset-controller",
	"system:serviceaccount:kube-system:daemon-set-controller",
	"system:kube-controller-manager",
}

// ByWorkload says that the workload's own controller asks, so that the owner
// may tell whether it still wants to.
func (w Wish) ByWorkload() bool { return slices.Contains(workloadControllers, w.By) }

// WishOf reads the wish from a pod's condition; false when there is none. A
// message that cannot be read costs no more than who asked and for which
// grace: the hold's bound stands.
func WishOf(pod *corev1.Pod) (Wish, bool) {
	c := podCondition(pod, v1alpha1.PodDeletionRequested)
	if c == nil || c.Status != corev1.ConditionTrue || c.LastTransitionTime.IsZero() {
		return Wish{}, false
	}
	w := Wish{Kind: Kind(c.Reason), Since: c.LastTransitionTime.Time, LastAsked: c.LastProbeTime.Time}
	if w.Kind != Delete && w.Kind != Evict {
		return Wish{}, false
	}
	if w.LastAsked.Before(w.Since) {
		w.LastAsked = w.Since
	}
	m := messageOf(c.Message)
	w.By, w.GraceSeconds = m.By, m.GraceSeconds
	return w, true
}

// messageOf reads what Condition wrote, and nothing from anything else. A grace
// of 0 is never recorded: it would kill the pod.
func messageOf(message string) wishMessage {
	var m wishMessage
	if len(message) > maxWishMessage || json.Unmarshal([]byte(message), &m) != nil {
		return wishMessage{}
	}
	if m.GraceSeconds != nil && *m.GraceSeconds < 1 {
		m.GraceSeconds = nil
	}
	m.By = nameOfUser(m.By)
	return m
}

// nameOfUser bounds a user's name, which comes from whatever authenticates.
func nameOfUser(user string) string {
	name := printable(user)
	return strings.ToValidUTF8(name[:min(len(name), maxBy)], "")
}

// Condition records the wish.
func (w Wish) Condition() corev1.PodCondition {
	var message strings.Builder
	encoder := json.NewEncoder(&message)
	encoder.SetEscapeHTML(false)
	// A string and a number can always be encoded.
	_ = encoder.Encode(wishMessage{By: nameOfUser(w.By), GraceSeconds: w.GraceSeconds})
	return corev1.PodCondition{
		Type:               v1alpha1.PodDeletionRequested,
		Status:             corev1.ConditionTrue,
		Reason:             string(w.Kind),
		Message:            strings.TrimSpace(message.String()),
		LastTransitionTime: metav1.NewTime(w.Since.Truncate(time.Second)),
		LastProbeTime:      metav1.NewTime(w.LastAsked.Truncate(time.Second)),
	}
}

// Until is when a pod with this wish is let go at the latest.
func (w Wish) Until(maxHold time.Duration) time.Time { return w.Since.Add(maxHold) }

// merged is the wish of a pod after one more Ask: whoever asks for a DELETE is
// not content with an Eviction; an Eviction after a DELETE takes nothing back.
// write is false when that is recorded already, not AskedAgain ago.
//
// By belongs to the Kind: an Eviction that somebody asks for while the
// workload's controller wants a DELETE must not become a DELETE that stays
// when the controller has changed its mind. And the controller does not
// supersede somebody else, whose wish cannot be read from the owner.
func merged(pod *corev1.Pod, ask Ask, now time.Time) (w Wish, write bool) {
	asked := firstWish(pod, ask, now)
	was, wished := WishOf(pod)
	if !wished || was.Since.Sub(now) > AskedAgain { // a time to come would be no bound
		return asked, true
	}
	w = was.and(asked, pod)
	if recently := now.Sub(was.LastAsked).Abs() < AskedAgain; recently && was.means(w) {
		return was, false
	}
	return w, true
}

// firstWish is the wish of whoever is the first to ask.
func firstWish(pod *corev1.Pod, ask Ask, now time.Time) Wish {
	second := now.Truncate(time.Second)
	return Wish{
		Kind:         ask.Kind,
		By:           nameOfUser(ask.User),
		GraceSeconds: unlessOwn(pod, ask.GraceSeconds),
		Since:        second,
		LastAsked:    second,
	}
}

// and is the wish of two who ask one after the other.
func (w Wish) and(asked Wish, pod *corev1.Pod) Wish {
	both := asked
	both.Since, both.GraceSeconds = w.Since, shorter(pod, asked.GraceSeconds, w.GraceSeconds)
	switch {
	case w.Kind == Delete && asked.Kind == Evict:
		both.Kind, both.By = w.Kind, w.By
	case w.Kind == asked.Kind && asked.ByWorkload():
		both.By = w.By
	}
	return both
}

// means says whether it makes no difference which of the two is recorded, but
// for when it was asked.
func (w Wish) means(other Wish) bool {
	return w.Kind == other.Kind && w.ByWorkload() == other.ByWorkload() && ptr.Equal(w.GraceSeconds, other.GraceSeconds)
}

// ownGrace is the grace that a pod has when none is asked for.
func ownGrace(pod *corev1.Pod) int64 {
	return ptr.Deref(pod.Spec.TerminationGracePeriodSeconds, corev1.DefaultTerminationGracePeriodSeconds)
}

// unlessOwn is a grace that was asked for, nil when it is the pod's own: the
// API server shows the webhook of a DELETE that one where none is asked for. It
// takes less than 0 for 1.
func unlessOwn(pod *corev1.Pod, grace *int64) *int64 {
	if grace == nil || *grace == ownGrace(pod) {
		return nil
	}
	return ptr.To(max(1, *grace))
}

// shorter is the shorter of two graces, either nil when it is the pod's own. As
// with a pod that is terminating already, who asks later can shorten the grace
// and not lengthen it.
func shorter(pod *corev1.Pod, a, b *int64) *int64 {
	own := ownGrace(pod)
	return unlessOwn(pod, ptr.To(min(ptr.Deref(a, own), ptr.Deref(b, own))))
}
