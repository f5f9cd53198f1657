package drain

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
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
	for _, g := range pod.Spec.ReadinessGates {
		if g.ConditionType == v1alpha1.PodInRotation {
			return true
		}
	}
	return false
}

// OutOfRotation says that the operator keeps a pod out of rotation.
func OutOfRotation(pod *corev1.Pod) bool {
	c := podCondition(pod, v1alpha1.PodInRotation)
	return c != nil && c.Status == corev1.ConditionFalse
}

// HeldFor is what a held pod waits for, empty when the leader has not said so.
func HeldFor(pod *corev1.Pod) v1alpha1.WaitingFor {
	if c := podCondition(pod, v1alpha1.PodDrained); c != nil && c.Status == corev1.ConditionFalse && c.Reason != ReasonNotHeld {
		return v1alpha1.WaitingFor(c.Reason)
	}
	return ""
}

// Holds says whether a policy holds deletions of its pods.
func Holds(p *v1alpha1.DrainPolicy) bool {
	return p != nil && p.DeletionTimestamp == nil && p.Spec.Mode != v1alpha1.ModeObserve &&
		p.Spec.Gate.Hold == v1alpha1.HoldDeletion
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
