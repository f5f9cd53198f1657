// Package probe asks a pod's drain status from outside of the pod, and tells
// its workload that it drains or no longer does. It connects to the pod's own
// address only, follows no redirects, and bounds time, size and how many it
// asks at once.
package probe

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// Options of a Prober.
type Options struct {
	// Concurrency is how many pods are asked at once; 0 = 128.
	Concurrency int
	// Loopback allows addresses of this host, for tests.
	Loopback bool
	// Asked is told of each look, for metrics; may be nil.
	Asked func(policy types.NamespacedName, reading drainstatus.Reading, took time.Duration)
}

// Prober asks pods. It is safe for concurrent use.
type Prober struct{}

// New returns a Prober.
func New(o Options) *Prober { panic("to be written") }

// Ask takes one look at a pod's drain status, as its policy says how.
func (p *Prober) Ask(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy) drainstatus.Reading {
	panic("to be written")
}

// Tell notifies the workload. It does nothing where the policy has no notify.
func (p *Prober) Tell(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) error {
	panic("to be written")
}

// Watcher looks at pods again and again, each in its policy's period.
type Watcher struct{}

// NewWatcher returns a Watcher that lives as long as ctx. changed is called
// without locks after each look that may change what becomes of the pod: another
// state than before, or one more of the first three in a row.
func NewWatcher(ctx context.Context, p *Prober, changed func(types.NamespacedName)) *Watcher {
	panic("to be written")
}

// Follow begins to look at a pod, or goes on with the policy as it is now.
func (w *Watcher) Follow(pod *corev1.Pod, policy *v1alpha1.DrainPolicy) { panic("to be written") }

// Seen is what the looks have shown; the zero value for a pod that is not followed.
func (w *Watcher) Seen(pod types.UID) drain.Watched { panic("to be written") }

// Forget ends the looks at a pod.
func (w *Watcher) Forget(pod types.UID) { panic("to be written") }
