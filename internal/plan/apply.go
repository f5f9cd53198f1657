package plan

import (
	"encoding/json"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// Apply returns a copy of the pod with the plan in it. It is idempotent: what
// an earlier pass injected is taken out first. The pod is not changed; what is
// the same in the copy, the two share.
func Apply(p Plan, pod *corev1.Pod) *corev1.Pod {
	injected, before := original(pod)
	recorded := recordOf(p, injected)
	injected.Spec.TerminationGracePeriodSeconds = ptr.To(p.GraceSeconds)
	applyProbes(&injected.Spec, p.ProbeGraces)
	applyHooks(&injected.Spec, p)
	applyVariables(&injected.Spec, p.Variables)
	applyDelivery(injected, p, pod, before)
	applyReadinessGate(&injected.Spec, p)
	injected.Labels = withKey(injected.Labels, v1alpha1.LabelInjected, "true")
	injected.Annotations = withKey(injected.Annotations, v1alpha1.AnnotationInjectedBy, injectedBy(p))
	if encoded, err := json.Marshal(recorded); err == nil { // always: plain data
		injected.Annotations[v1alpha1.AnnotationOriginal] = string(encoded)
	}
	return injected
}

func applyProbes(spec *corev1.PodSpec, graces []ProbeGrace) {
	for c := range longRunning(spec) {
		for kind, probe := range restartProbes(c) {
			at := slices.IndexFunc(graces, func(g ProbeGrace) bool { return g.Container == c.Name && g.Kind == kind })
			if at >= 0 {
				probe.TerminationGracePeriodSeconds = ptr.To(graces[at].Seconds)
			}
		}
	}
}

func applyHooks(spec *corev1.PodSpec, p Plan) {
	for _, hook := range p.Hooks {
		c := findContainer(spec.Containers, hook.Container)
		if c == nil {
			continue
		}
		if c.Lifecycle == nil {
			c.Lifecycle = &corev1.Lifecycle{}
		}
		c.Lifecycle.PreStop = hook.Handler.DeepCopy()
		if hook.RunsAgent() && p.Volume != nil {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: p.Volume.Name, MountPath: hold.AgentDir, ReadOnly: true})
		}
	}
}

// applyDelivery adds the volume and the installer. Where an earlier pass put
// them into the pod and somebody has changed them since, such as a webhook
// that rewrites images, the changes stay; unless the pod was copied from one
// that got another image.
func applyDelivery(injected *corev1.Pod, p Plan, pod *corev1.Pod, before record) {
	if p.Volume == nil {
		return
	}
	volume, installer := p.Volume.DeepCopy(), p.InitContainer.DeepCopy()
	if before.Image == plannedImage(p) {
		volume, installer = earlierVolume(volume, pod), earlierInstaller(installer, pod)
	}
	injected.Spec.Volumes = append(injected.Spec.Volumes, *volume)
	if installer == nil {
		return
	}
	injected.Spec.InitContainers = slices.Insert(injected.Spec.InitContainers, 0, *installer)
	setLocalVolumes(injected, append(localVolumes(injected), p.Volume.Name))
}

func earlierVolume(planned *corev1.Volume, pod *corev1.Pod) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		sameKind := (v.Image != nil) == (planned.Image != nil)
		if isAgentVolume(*v, planned.Name) && sameKind {
			return v.DeepCopy()
		}
	}
	return planned
}

// earlierInstaller keeps the changes of others, but not the resources: they
// follow those of the app.
func earlierInstaller(planned *corev1.Container, pod *corev1.Pod) *corev1.Container {
	if planned == nil {
		return nil
	}
	for _, c := range pod.Spec.InitContainers {
		if isInstaller(c, planned.Name) {
			kept := c.DeepCopy()
			kept.Resources = planned.Resources
			return kept
		}
	}
	return planned
}
