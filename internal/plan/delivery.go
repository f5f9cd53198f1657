package plan

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// agentInImage is the agent's binary in its own image.
	agentInImage = "/drain-agent"

	// tokenPath is where the API server mounts a service account's token into
	// every container that mounts nothing there itself.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

	// agentUser is the user of the agent's image.
	agentUser = 65532
)

// agentVolumeSize bounds the emptyDir that holds the agent.
var agentVolumeSize = resource.MustParse("16Mi")

// copiedResources are those that the installing container takes over: what
// quotas and the QoS class ask about, and nothing that exists only once.
var copiedResources = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}

// addDelivery brings the agent to the containers that run it.
func (b *builder) addDelivery() {
	runners := b.plan.AgentContainers()
	if len(runners) == 0 {
		return
	}
	spec := &b.pod.Spec
	volume := corev1.Volume{Name: freeName(VolumeName, volumeNames(spec))}
	if b.options.Delivery == ImageVolume {
		volume.Image = &corev1.ImageVolumeSource{Reference: b.options.AgentImage, PullPolicy: corev1.PullIfNotPresent}
		b.plan.Volume = &volume
		return
	}
	volume.EmptyDir = &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(agentVolumeSize.DeepCopy())}
	b.plan.Volume = &volume
	b.plan.InitContainer = installer(spec, volume.Name, runners[0], b.options.AgentImage)
	if plainDrainEvicts(b.pod) {
		b.noteOn(nil, NoteEmptyDir, "the agent's emptyDir makes kubectl drain refuse the pod without --delete-emptydir-data")
	}
}

// emptyDirAvoided reports whether the pod goes without the agent so that a
// plain kubectl drain still evicts it.
func (b *builder) emptyDirAvoided() bool {
	return b.options.EmptyDirAvoided() && plainDrainEvicts(b.pod)
}

// EmptyDirAvoided reports whether pods that a plain kubectl drain evicts go
// without the agent: it could come only with an emptyDir.
func (o Options) EmptyDirAvoided() bool { return o.AvoidEmptyDir && o.Delivery == InitContainer }

// plainDrainEvicts reports whether kubectl drain would not refuse the pod for
// its volumes. It looks for an emptyDir of any kind, and does not look at pods
// of DaemonSets.
func plainDrainEvicts(pod *corev1.Pod) bool {
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && owner.Kind == "DaemonSet" {
		return false
	}
	return !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.EmptyDir != nil })
}

// installer is the init container that copies the agent. Its resources are
// those of the first container that runs the agent: the pod's requests are the
// larger of its init containers' and of all others together, so they stay as
// they were, and so do the QoS class and what a quota asks for. A limit under
// which the agent runs is enough to copy it. It gets no token: it needs none,
// and the pod might get another volume for it.
func installer(spec *corev1.PodSpec, volume, runner, image string) *corev1.Container {
	c := corev1.Container{
		Name:            freeName(InitContainerName, containerNames(spec)),
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{agentInImage, "install", hold.AgentPath},
		VolumeMounts: []corev1.VolumeMount{
			{Name: volume, MountPath: hold.AgentDir},
			{Name: volume, MountPath: tokenPath, ReadOnly: true},
		},
		SecurityContext:          installerSecurity(spec),
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	for i := range spec.Containers {
		if spec.Containers[i].Name == runner {
			c.Resources = corev1.ResourceRequirements{
				Requests: copyResources(spec.Containers[i].Resources.Requests),
				Limits:   copyResources(spec.Containers[i].Resources.Limits),
			}
		}
	}
	return &c
}

// installerSecurity meets the restricted Pod Security Standard whatever the
// pod says of itself. The image's own user is not root, and a pod that names
// another gets its way; one that runs as root would contradict runAsNonRoot
// when the container starts.
func installerSecurity(spec *corev1.PodSpec) *corev1.SecurityContext {
	security := &corev1.SecurityContext{
		AllowPrivilegeEscalation: ptr.To(false),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		ReadOnlyRootFilesystem:   ptr.To(true),
		RunAsNonRoot:             ptr.To(true),
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
	if pod := spec.SecurityContext; pod != nil && pod.RunAsUser != nil && *pod.RunAsUser == 0 {
		security.RunAsUser = ptr.To[int64](agentUser)
	}
	return security
}

func copyResources(from corev1.ResourceList) corev1.ResourceList {
	var to corev1.ResourceList
	for _, name := range copiedResources {
		if quantity, found := from[name]; found {
			if to == nil {
				to = corev1.ResourceList{}
			}
			to[name] = quantity.DeepCopy()
		}
	}
	return to
}

// agentDirTaken reports whether a container has something of its own where
// the agent would be mounted, or below.
func agentDirTaken(c *corev1.Container) bool {
	taken := func(path string) bool {
		path = strings.TrimRight(path, "/")
		return path == hold.AgentDir || strings.HasPrefix(path, hold.AgentDir+"/")
	}
	return slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return taken(m.MountPath) }) ||
		slices.ContainsFunc(c.VolumeDevices, func(d corev1.VolumeDevice) bool { return taken(d.DevicePath) })
}

func volumeNames(spec *corev1.PodSpec) []string {
	var names []string
	for i := range spec.Volumes {
		names = append(names, spec.Volumes[i].Name)
	}
	return names
}

func containerNames(spec *corev1.PodSpec) []string {
	var names []string
	for i := range spec.Containers {
		names = append(names, spec.Containers[i].Name)
	}
	for i := range spec.InitContainers {
		names = append(names, spec.InitContainers[i].Name)
	}
	for i := range spec.EphemeralContainers {
		names = append(names, spec.EphemeralContainers[i].Name)
	}
	return names
}

// freeName is the wanted name, or the first numbered one that is free.
func freeName(wanted string, taken []string) string {
	name := wanted
	for i := 2; slices.Contains(taken, name); i++ {
		name = wanted + "-" + strconv.Itoa(i)
	}
	return name
}
