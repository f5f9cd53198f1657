package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Reasons of the readiness gate.
const (
	reasonInRotation = "InRotation"
	reasonDraining   = "Draining"
)

const (
	messageOut      = "the pod's end is asked for: it gets no new work until it has drained"
	messageRotation = "it is being taken out of rotation"
	messageNotHeld  = "its policy no longer holds deletions, or the operator is being uninstalled"

	// renewEvery is the least time between two messages of a condition that
	// else stays as it is.
	renewEvery = 30 * time.Second
)

// endMessages say why a wish is none any more.
var endMessages = map[HoldEnd]string{
	EndTakenBack: "its owner wants the pod to stay",
	EndExpired:   "nobody has asked for the pod's end for 5 minutes",
	EndNotHeld:   "the pod is no longer held, and its end was refused",
}

// beingHeld says that the leader has written what the pod is held for.
func beingHeld(pod *corev1.Pod) bool {
	c := podCondition(pod, v1alpha1.PodDrained)
	return c != nil && c.Reason != ReasonNotHeld
}

// condition of the pod as it is to be. Its lastProbeTime is when it was written.
func (c course) condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason, message string) corev1.PodCondition {
	want := corev1.PodCondition{
		Type: kind, Status: status, Reason: reason, Message: message,
		LastProbeTime: metav1.NewTime(c.now), LastTransitionTime: metav1.NewTime(c.now),
	}
	if is := podCondition(c.Pod, kind); is != nil && is.Status == status {
		want.LastTransitionTime = is.LastTransitionTime
	}
	return want
}

// changed is the condition, if the pod's is another. Of the readiness gate only
// the status counts: every replica writes it.
func (c course) changed(want corev1.PodCondition) []corev1.PodCondition {
	is := podCondition(c.Pod, want.Type)
	if is != nil && is.Status == want.Status &&
		(want.Type == v1alpha1.PodInRotation || is.Reason == want.Reason && is.Message == want.Message) {
		return nil
	}
	return []corev1.PodCondition{want}
}

// renewal is how long a condition has to wait that differs in its message
// alone, such as in the number of requests in flight; 0 when it has not.
func (c course) renewal(want corev1.PodCondition) time.Duration {
	is := podCondition(c.Pod, want.Type)
	if is == nil || is.Status != want.Status || is.Reason != want.Reason || is.Message == want.Message {
		return 0
	}
	return max(0, is.LastProbeTime.Add(renewEvery).Sub(c.now))
}
