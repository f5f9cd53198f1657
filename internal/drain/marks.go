package drain

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// Reasons of the pod condition PodDrained that are no v1alpha1.WaitingFor.
const (
	// ReasonNotHeld: its end is not wanted any more. Status False.
	ReasonNotHeld = "NotHeld"
	// ReasonStatusUnreadable: Status Unknown.
	ReasonStatusUnreadable = "StatusUnreadable"
)

// HasReadinessGate says that a pod is Ready only while it is in rotation.
func HasReadinessGate(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.ReadinessGates, func(g corev1.PodReadinessGate) bool {
		return g.ConditionType == v1alpha1.PodInRotation
	})
}

// OutOfRotation says that the operator keeps a pod out of rotation. One whose
// readiness gate nobody has set yet is not in rotation either, but by no hold.
func OutOfRotation(pod *corev1.Pod) bool {
	return hasCondition(pod, v1alpha1.PodInRotation, corev1.ConditionFalse)
}

// Held says that a pod's end was asked for and that it is out of rotation:
// what the leader says of its drain is of this hold.
func Held(pod *corev1.Pod) bool {
	_, wished := WishOf(pod)
	return wished && OutOfRotation(pod)
}

// HeldFor is what a held pod waits for, empty when the leader has not said so.
func HeldFor(pod *corev1.Pod) v1alpha1.WaitingFor {
	if c := podCondition(pod, v1alpha1.PodDrained); c != nil && c.Status == corev1.ConditionFalse && c.Reason != ReasonNotHeld {
		return v1alpha1.WaitingFor(c.Reason)
	}
	return ""
}

// Holds says whether a policy holds deletions of its pods.
func Holds(p *v1alpha1.DrainPolicy) bool { return policy.HoldsDeletions(p) }

// MaxHold is how long a policy holds the deletion of a pod at most.
func MaxHold(p *v1alpha1.DrainPolicy) time.Duration {
	if p.Spec.Gate.MaxHoldSeconds > 0 {
		return time.Duration(p.Spec.Gate.MaxHoldSeconds) * time.Second
	}
	return v1alpha1.DefaultGateMaxHoldSeconds * time.Second
}

// hasCondition says whether a pod has a condition with that status.
func hasCondition(pod *corev1.Pod, conditionType corev1.PodConditionType, status corev1.ConditionStatus) bool {
	c := podCondition(pod, conditionType)
	return c != nil && c.Status == status
}

// podCondition returns a condition of a pod, nil when it has none of that type.
func podCondition(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == conditionType {
			return c
		}
	}
	return nil
}
