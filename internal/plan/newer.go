package plan

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// GraceNow is the grace in seconds that policy p would give a pod if it were
// created now. A pod that was injected already is taken for what it was before.
func GraceNow(p *v1alpha1.DrainPolicy, pod *corev1.Pod) int64 {
	return Build(p, pod, Options{}).GraceSeconds // how the agent gets there changes no grace
}
