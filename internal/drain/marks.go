package drain

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
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
