package condition

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// StuckAfter is how long a pod must have been unable to start before that
// counts: a registry that answers at the second try is none.
const StuckAfter = 60 * time.Second

// AgentPod is how the agent fares in a pod that was injected with it.
type AgentPod struct {
	Name    string
	Created time.Time
	// Since is when the kubelet took the pod.
	Since time.Time
	// Image of the agent.
	Image string
	// Started says that a container with the agent's hook runs or has run.
	Started bool
	// Trouble keeps the pod from starting, and is the agent's: its image
	// volume or its init container. Empty when there is none.
	Trouble string
}

// AgentPods finds the pods that tell about the agent: those in trouble, and
// the newest that started.
func AgentPods(pods []*corev1.Pod) []AgentPod {
	var telling []AgentPod
	var newest *AgentPod
	for _, pod := range pods {
		a, ok := AgentIn(pod)
		switch {
		case !ok:
		case a.Trouble != "":
			telling = append(telling, a)
		case a.Started && (newest == nil || a.Created.After(newest.Created)):
			newest = &a
		}
	}
	if newest != nil {
		telling = append(telling, *newest)
	}
	return telling
}

// AgentIn describes the agent in a pod; ok is false when the pod has none, has
// ended or is terminating.
func AgentIn(pod *corev1.Pod) (agent AgentPod, ok bool) {
	carriers := agentCarriers(pod)
	if len(carriers) == 0 || Ended(pod) || pod.DeletionTimestamp != nil {
		return AgentPod{}, false
	}
	volume := agentVolume(pod)
	agent = AgentPod{
		Name:    pod.Name,
		Created: pod.CreationTimestamp.Time,
		Since:   pod.CreationTimestamp.Time,
		Started: anyStarted(pod, carriers),
	}
	if pod.Status.StartTime != nil {
		agent.Since = pod.Status.StartTime.Time
	}
	agent.Image, agent.Trouble = trouble(pod, volume, carriers)
	return agent, true
}

// agentCarriers are the containers with the agent's hook.
func agentCarriers(pod *corev1.Pod) []*corev1.Container {
	var carriers []*corev1.Container
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil &&
			hold.IsAgentCommand(c.Lifecycle.PreStop.Exec.Command) {
			carriers = append(carriers, c)
		}
	}
	return carriers
}

// agentVolume is the volume from which containers have the agent, nil if the
// pod has none. Injection adds it last, under a name that is still free; the
// cache keeps no mounts by which it could be found.
func agentVolume(pod *corev1.Pod) *corev1.Volume {
	for i := range slices.Backward(pod.Spec.Volumes) {
		v := &pod.Spec.Volumes[i]
		if strings.HasPrefix(v.Name, plan.VolumeName) && (v.Image != nil || v.EmptyDir != nil) {
			return v
		}
	}
	return nil
}

func anyStarted(pod *corev1.Pod, carriers []*corev1.Container) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		ran := s.State.Running != nil || s.RestartCount > 0 || s.State.Terminated != nil
		return ran && slices.ContainsFunc(carriers, func(c *corev1.Container) bool { return c.Name == s.Name })
	})
}

// trouble says what the agent's volume or init container is waiting for.
func trouble(pod *corev1.Pod, volume *corev1.Volume, carriers []*corev1.Container) (image, waiting string) {
	switch {
	case volume == nil:
		return "", ""
	case volume.Image != nil:
		return volume.Image.Reference, volumeTrouble(pod, volume, carriers)
	default:
		return initTrouble(pod)
	}
}

// initTrouble looks at the init container that installs the agent. It is ours:
// whatever keeps it is our trouble.
func initTrouble(pod *corev1.Pod) (image, waiting string) {
	ours := slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
		return strings.HasPrefix(c.Name, plan.InitContainerName)
	})
	if ours < 0 {
		return "", ""
	}
	c := pod.Spec.InitContainers[ours]
	for _, s := range pod.Status.InitContainerStatuses {
		if s.Name == c.Name && s.State.Waiting != nil && !starting(s.State.Waiting.Reason) {
			return c.Image, s.State.Waiting.Reason
		}
	}
	return c.Image, ""
}

func starting(reason string) bool {
	return reason == "" || reason == "PodInitializing" || reason == "ContainerCreating"
}

// pullReasons are those with which the kubelet reports that an image volume
// could not be had. It reports them on every container that mounts the volume,
// before it looks at the container's own image: kuberuntime_manager.go
// toKubeContainerImageVolumes, images/types.go, cri-api errors.go (1.36.3).
var pullReasons = []string{
	"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ImageInspectError", "ErrImageNeverPull",
	"RegistryUnavailable", "SignatureValidationFailed", "CreateContainerError",
}

// volumeTrouble looks at the containers that mount the image volume. The same
// reasons stand for the container's own image: the message tells them apart.
func volumeTrouble(pod *corev1.Pod, volume *corev1.Volume, carriers []*corev1.Container) string {
	for _, s := range pod.Status.ContainerStatuses {
		carries := slices.ContainsFunc(carriers, func(c *corev1.Container) bool { return c.Name == s.Name })
		if w := s.State.Waiting; carries && w != nil && slices.Contains(pullReasons, w.Reason) && mentions(w.Message, volume) {
			return w.Reason
		}
	}
	return ""
}

// mentions reports whether a message is about our image volume. A runtime that
// does not know image volumes fails to make a mount from an empty path.
func mentions(message string, volume *corev1.Volume) bool {
	repository, digest, _ := strings.Cut(volume.Image.Reference, "@")
	for _, sign := range []string{repository, digest, "ImageVolumeMountFailed", `mkdir ""`, hold.AgentDir} {
		if sign != "" && strings.Contains(message, sign) {
			return true
		}
	}
	return false
}
