package condition

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// container is one of a pod that a policy covers: injected by it, or as it
// would be if it were created now.
type container struct {
	*corev1.Container
	policy *v1alpha1.DrainPolicy
	pod    *corev1.Pod
	// agent is what the agent in it was told; nil where none runs.
	agent *hold.Spec
}

func preStop(c *corev1.Container) *corev1.LifecycleHandler {
	if c.Lifecycle == nil {
		return nil
	}
	return c.Lifecycle.PreStop
}

func agentOf(c *corev1.Container) *hold.Spec {
	hook := preStop(c)
	if hook == nil || hook.Exec == nil || !hold.IsAgentCommand(hook.Exec.Command) {
		return nil
	}
	spec, _, err := hold.ParseNewer(hook.Exec.Command[3])
	if err != nil {
		return nil
	}
	return &spec
}

// releasedBusy says how it comes that requests may be in flight when the
// container is told to end; empty where the agent waits until none is.
func (c container) releasedBusy() string {
	const outOfRotation = "pods are let go as soon as they are out of rotation"
	const sleeps = "a sleep lets go of the pod whatever is in flight"
	hook, asked := preStop(c.Container), c.policy.Spec.PreStop
	switch {
	case c.agent != nil && c.agent.ReleaseWhen == hold.ReleaseWhenOutOfRotation:
		return outOfRotation
	case c.agent != nil:
		return ""
	case hook != nil && hook.Sleep != nil:
		return sleeps
	case hook != nil:
		return "its own preStop hook lets go of the pod"
	case asked.Strategy == v1alpha1.StrategyNone || c.pod.Labels[v1alpha1.LabelInjected] == "true":
		return "no hook holds it"
	case asked.Strategy == v1alpha1.StrategySleep:
		return sleeps
	case asked.ReleaseWhen == v1alpha1.ReleaseWhenOutOfRotation:
		return outOfRotation
	}
	return ""
}

// Who chooses the signal on which a container ends.
const (
	byDefault   = iota // nobody that the pod shows: SIGTERM, or the image's STOPSIGNAL
	byContainer        // its own lifecycle.stopSignal, or what its status says
	byPolicy
)

// signal is the one that the container gets first.
func (c container) signal() (signal corev1.Signal, by int) {
	if own := c.ownSignal(); own != "" {
		return own, byContainer
	}
	switch {
	case c.agent != nil && c.agent.Stop != nil:
		return corev1.Signal(c.agent.Stop.Signal), byPolicy
	case preStop(c.Container) == nil && c.policy.Spec.PreStop.StopSignal != "" && c.pod.Labels[v1alpha1.LabelInjected] != "true":
		return corev1.Signal(c.policy.Spec.PreStop.StopSignal), byPolicy
	}
	for i := range c.pod.Status.ContainerStatuses {
		if s := &c.pod.Status.ContainerStatuses[i]; s.Name == c.Name && s.StopSignal != nil {
			return *s.StopSignal, byContainer
		}
	}
	return corev1.SIGTERM, byDefault
}

func (c container) ownSignal() corev1.Signal {
	if c.Lifecycle == nil {
		return ""
	}
	return ptr.Deref(c.Lifecycle.StopSignal, "")
}

// notSent is why the policy's stop signal is not sent to a container that
// serves, where it is process 1 that the agent cannot reach.
func (c container) notSent() string {
	if c.policy.Spec.PreStop.StopSignal == "" || c.ownSignal() != "" || c.agent == nil || c.agent.Role != hold.RoleServe {
		return ""
	}
	switch {
	case c.pod.Spec.HostPID:
		return "the pod shares the node's processes (hostPID)"
	case ptr.Deref(c.pod.Spec.ShareProcessNamespace, false):
		return "the pod's containers share their processes (shareProcessNamespace)"
	}
	return ""
}
