package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	// unreachable is how many looks in a row must fail.
	unreachable = 3

	// ReachSoon is the time to the next look while the last one has failed, or
	// there was none.
	ReachSoon = 5 * time.Second

	// ReachLater is that after one that was answered.
	ReachLater = time.Minute

	// toldFor is how long the same failure is told: every pod says it a little
	// differently, and each time would be a write.
	toldFor = time.Minute
)

// Reach is what the operator itself could read of the drain status of a
// policy's pods under hold Deletion, since it began to look. The zero value is
// that of no look.
type Reach struct {
	// Answered says that a look was answered, be it before those that failed.
	Answered bool
	// Failures counts the last looks in a row that were not.
	Failures int
	// Pod and Reason of a failure of those, the one that is told.
	Pod, Reason string
	// ToldAt is when that was.
	ToldAt time.Time
	// Asked is the pod of the last look.
	Asked types.UID
}

// Looked is the reach after one more look.
func (r Reach) Looked(pod *corev1.Pod, reading drainstatus.Reading, now time.Time) Reach {
	if reading.State != drainstatus.Unreadable {
		return Reach{Answered: true, Asked: pod.UID}
	}
	r.Asked = pod.UID
	r.Failures++
	if r.Failures <= unreachable || now.Sub(r.ToldAt) >= toldFor {
		r.Pod, r.Reason, r.ToldAt = pod.Name, reading.Reason, now
	}
	return r
}

// Tells says whether another reach says something else to people.
func (r Reach) Tells(other Reach) bool {
	failed := func(r Reach) bool { return r.Failures >= unreachable }
	return r.Answered != other.Answered || failed(r) != failed(other) || r.Pod != other.Pod || r.Reason != other.Reason
}

// Next is when to look again.
func (r Reach) Next() time.Duration {
	if r.Answered && r.Failures == 0 {
		return ReachLater
	}
	return ReachSoon
}

// PodToAsk is the one whose drain status to look at next: Ready and running,
// with the settings of the policy, and neither terminating nor held. Each time
// it is another one than the one asked last, if there is one.
func PodToAsk(pods []*corev1.Pod, policy string, last types.UID) *corev1.Pod {
	var candidates []*corev1.Pod
	for _, pod := range pods {
		if name, _, injected := InjectedBy(pod); injected && name == policy && CanBeAsked(pod) {
			candidates = append(candidates, pod)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	byUID := func(a, b *corev1.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) }
	slices.SortFunc(candidates, byUID)
	i, found := slices.BinarySearchFunc(candidates, last, func(pod *corev1.Pod, uid types.UID) int { return cmp.Compare(pod.UID, uid) })
	if found {
		i++
	}
	return candidates[i%len(candidates)]
}

// CanBeAsked says that a pod is ready, and leaves out those that drain: each look is a connection, which could
// keep them from it, and what they say is looked at anyway.
func CanBeAsked(pod *corev1.Pod) bool {
	_, wished := drain.WishOf(pod)
	if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning || wished || drain.OutOfRotation(pod) {
		return false
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// statusAnswered is what the operator's own looks say, under hold Deletion.
// What another leader saw stands until this one has seen something else.
func statusAnswered(p *v1alpha1.DrainPolicy, r Reach) metav1.Condition {
	set := func(s metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionDrainStatusReachable, Status: s, Reason: reason, Message: Shorten(message)}
	}
	before := find(p, v1alpha1.ConditionDrainStatusReachable)
	switch {
	case r.Failures >= unreachable:
		return set(metav1.ConditionFalse, v1alpha1.ReasonStatusNoAnswer, fmt.Sprintf(
			"the operator could not read the drain status, several times in a row; of pod %s: %s. Nothing is held until it can", r.Pod, r.Reason))
	case r.Answered:
		return set(metav1.ConditionTrue, v1alpha1.ReasonStatusAnswered, "the operator can read the drain status of a running pod")
	case before != nil && (before.Reason == v1alpha1.ReasonStatusAnswered || before.Reason == v1alpha1.ReasonStatusNoAnswer):
		return set(before.Status, before.Reason, before.Message)
	case r.Failures > 0:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNoPodToAsk, fmt.Sprintf("no pod has answered yet; pod %s: %s", r.Pod, r.Reason))
	}
	return set(metav1.ConditionUnknown, v1alpha1.ReasonNoPodToAsk, "no pod that is ready and has the policy's settings could be asked yet")
}
