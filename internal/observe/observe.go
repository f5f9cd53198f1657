// Package observe sees how long requests take: in a Prometheus, or on the
// metrics pages of the pods themselves. What it reads is hostile until parsed.
package observe

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// Target is whose latency is looked at.
type Target struct {
	Policy *v1alpha1.DrainPolicy
	// Pods that the policy covers and that are running. Not to be changed.
	Pods []*corev1.Pod
	Now  time.Time
}

// Observer sees the latency of one policy's pods, round by round. It is not
// safe for concurrent use. An edit of the policy's latency or window takes
// effect with the next round.
type Observer interface {
	// Observe returns the latency over the policy's window. The error is a
	// *Failure, and then nothing could be seen now.
	Observe(ctx context.Context, target Target) (latency.Summary, error)
}
