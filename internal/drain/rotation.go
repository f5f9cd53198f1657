package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// unreportedAfter is how long the kubelet's word is waited for that a pod
	// is not Ready. One that is dead must not hold it for ever.
	unreportedAfter = 10 * time.Second

	defaultPropagation = 5 * time.Second
)

// unseenFrom is when a pod that was taken out of rotation is: propagationSeconds
// after the kubelet reported it not Ready. A report from the future is of a
// clock that cannot be relied on. The API has cut the times to whole seconds.
func (c course) unseenFrom() time.Time {
	out := podCondition(c.Pod, v1alpha1.PodInRotation).LastTransitionTime.Time
	left := out.Add(unreportedAfter)
	ready := podCondition(c.Pod, corev1.PodReady)
	switch {
	case ready == nil:
		left = out
	case ready.Status == corev1.ConditionTrue, ready.LastTransitionTime.After(c.now):
	case ready.LastTransitionTime.After(out):
		left = ready.LastTransitionTime.Time
	default: // it was not before, either
		left = out
	}
	return left.Add(granularity + c.propagation())
}

// unseen says that a pod gets no new work any more.
func (c course) unseen() bool {
	return OutOfRotation(c.Pod) && !c.now.Before(c.unseenFrom())
}

func (c course) propagation() time.Duration { return propagation(c.Policy) }

func propagation(p *v1alpha1.DrainPolicy) time.Duration {
	if p != nil && p.Spec.PreStop.PropagationSeconds != nil {
		return time.Duration(*p.Spec.PreStop.PropagationSeconds) * time.Second
	}
	return defaultPropagation
}
