package drain

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// started says that a container has run at least once.
func started(s corev1.ContainerStatus) bool {
	return s.State.Running != nil || s.State.Terminated != nil && !s.State.Terminated.StartedAt.IsZero() ||
		s.LastTerminationState.Terminated != nil || s.RestartCount > 0
}

func running(s corev1.ContainerStatus) bool { return s.State.Running != nil }

func anyContainer(pod *corev1.Pod, is func(corev1.ContainerStatus) bool) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, is)
}

// allEnded says that every regular container has a status, and none is running.
func allEnded(pod *corev1.Pod) bool {
	return len(pod.Status.ContainerStatuses) > 0 && !anyContainer(pod, running)
}

// terminated is how a container ended, nil if it has not or is not known.
func terminated(pod *corev1.Pod, container string) *corev1.ContainerStateTerminated {
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.Name == container {
			return s.State.Terminated
		}
	}
	return nil
}

// nodeLost says that the pod was removed because its node is gone: the pod
// garbage collector says so in a condition, the node controller in the reason.
func nodeLost(pod *corev1.Pod) bool {
	if pod.Status.Reason == "NodeLost" {
		return true
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == "DeletionByPodGC"
	})
}
