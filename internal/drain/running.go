package drain

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// nothingRuns says that a pod has nothing to drain: no regular container runs,
// or what runs has never been ready.
//
// Never ready: the condition Ready is not True, and it last changed when none
// of the containers that run now had been started. The kubelet first writes
// Ready=False when it takes a pod on, before it starts a container, and the
// time stays until Ready becomes True: a pod that was ready and no longer is
// has a later one, also when it is its readiness gate that took it out of
// rotation. The same holds after a restart: if Ready has not changed since all
// containers were started anew, what was in flight before is lost already.
// Where some container runs on from before the change, the pod may have been
// ready while it ran. Times are whole seconds: the pod is taken on and its
// containers are started within the same one, so equal counts as not changed.
//
// Native sidecars do not count: they run on while the app is down.
func nothingRuns(pod *corev1.Pod) bool {
	if !anyContainer(pod, running) {
		return true
	}
	ready := podCondition(pod, corev1.PodReady)
	switch {
	case ready == nil:
		return true
	case ready.Status == corev1.ConditionTrue:
		return false
	}
	return !slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return running(s) && s.State.Running.StartedAt.Before(&ready.LastTransitionTime)
	})
}
