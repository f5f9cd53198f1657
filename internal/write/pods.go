// Package write is where the operator writes to pods: their conditions, and the
// requests for their end. Every write names the pod by its UID.
package write

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/drain"
)

// Pods writes to pods. Implementations are safe for concurrent use.
type Pods interface {
	// SetConditions sets these conditions of a pod's status, and leaves the others.
	SetConditions(ctx context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error
	// Release asks for the pod's end. A pod that is gone is no error. An
	// Eviction that its budget refuses gives an error for which
	// apierrors.IsTooManyRequests holds.
	Release(ctx context.Context, pod *corev1.Pod, release drain.Release) error
}
