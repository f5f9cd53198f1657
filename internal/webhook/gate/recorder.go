// Package gate answers the API server's question whether a pod may be deleted or
// evicted. It answers from memory, calls nobody while answering, and whatever
// goes wrong, the answer is yes.
package gate

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// Wishes writes down, after the answer, that a pod's end was asked for. It
// never blocks and may drop one: whoever asked asks again, or finds the pod
// as it was.
type Wishes interface {
	Record(ctx context.Context, pod *corev1.Pod, condition corev1.PodCondition)
}
