package plan

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// maxRecordedHookBytes bounds the hooks that the record of a pod carries.
const maxRecordedHookBytes = 16 << 10

// record is what an injected pod was before, as far as it cannot be told from
// the pod itself. It is the value of AnnotationOriginal, and hostile until
// parsed: pods are copied and templates edited.
type record struct {
	// Grace is the pod's own; null when it had none.
	Grace *int64 `json:"grace"`
	// GraceSet is what injection made of it. Where the pod has another by now,
	// somebody else has changed it, and that one counts.
	GraceSet int64 `json:"graceSet"`

	Hooks     []recordedHook `json:"hooks,omitempty"`
	Probes    []ProbeGrace   `json:"probes,omitempty"`
	Variables []Variable     `json:"variables,omitempty"`

	Volume        string `json:"volume,omitempty"`
	InitContainer string `json:"initContainer,omitempty"`
	// Image is the agent's image as it was planned, whatever others made of it.
	Image string `json:"image,omitempty"`
}

// recordedHook is a hook that injection has set.
type recordedHook struct {
	Container string `json:"container"`
	// SleepSeconds is what was set where that was a native sleep.
	SleepSeconds int64 `json:"sleepSeconds,omitempty"`
	// Was is the container's own hook that it took the place of.
	Was *corev1.LifecycleHandler `json:"was,omitempty"`
}

// canRecord reports whether a hook still fits into the record, and counts it.
func (b *builder) canRecord(hook *corev1.LifecycleHandler) bool {
	size := encodedBytes(hook)
	if b.recorded+size > maxRecordedHookBytes {
		return false
	}
	b.recorded += size
	return true
}

// recordOf says what Apply is about to change in a pod that is not injected.
func recordOf(p Plan, was *corev1.Pod) record {
	r := record{Grace: was.Spec.TerminationGracePeriodSeconds, GraceSet: p.GraceSeconds, Probes: p.ProbeGraces, Variables: p.Variables}
	for _, hook := range p.Hooks {
		recorded := recordedHook{Container: hook.Container}
		if hook.Handler.Sleep != nil {
			recorded.SleepSeconds = hook.Handler.Sleep.Seconds
		}
		if c := findContainer(was.Spec.Containers, hook.Container); c != nil {
			recorded.Was = preStop(c)
		}
		r.Hooks = append(r.Hooks, recorded)
	}
	if p.Volume != nil {
		r.Volume, r.Image = p.Volume.Name, plannedImage(p)
	}
	if p.InitContainer != nil {
		r.InitContainer = p.InitContainer.Name
	}
	return r
}

func plannedImage(p Plan) string {
	if p.InitContainer != nil {
		return p.InitContainer.Image
	}
	return p.Volume.Image.Reference
}

// readRecord reads a pod's record. A pod that says it is injected and has no
// readable one was copied from an injected pod: what is ours is found by name.
func readRecord(pod *corev1.Pod) (record, bool) {
	var r record
	if value, found := pod.Annotations[v1alpha1.AnnotationOriginal]; found && json.Unmarshal([]byte(value), &r) == nil {
		return r, true
	}
	if pod.Labels[v1alpha1.LabelInjected] == "true" {
		own := pod.Spec.TerminationGracePeriodSeconds
		return record{Grace: own, GraceSet: ownGrace(&pod.Spec), Volume: VolumeName, InitContainer: InitContainerName}, true
	}
	return record{}, false
}

// copyToChange is a copy of the pod of which everything that injection and its
// undoing change may be changed. The rest is the pod's own: to copy it, and to
// find that it is the same, takes longer than to work out a plan.
func copyToChange(pod *corev1.Pod) *corev1.Pod {
	c := *pod
	c.Labels, c.Annotations = maps.Clone(c.Labels), maps.Clone(c.Annotations)
	c.Spec.Volumes = slices.Clone(c.Spec.Volumes)
	c.Spec.Containers, c.Spec.InitContainers = copyContainers(c.Spec.Containers), copyContainers(c.Spec.InitContainers)
	return &c
}

func copyContainers(containers []corev1.Container) []corev1.Container {
	copied := slices.Clone(containers)
	for i := range copied {
		c := &copied[i]
		c.Lifecycle, c.LivenessProbe, c.StartupProbe = clone(c.Lifecycle), clone(c.LivenessProbe), clone(c.StartupProbe)
		c.VolumeMounts, c.Env = slices.Clone(c.VolumeMounts), slices.Clone(c.Env)
	}
	return copied
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	copied := *p
	return &copied
}

// original is a copy of the pod as it was before it was injected, with what
// others have changed since; and the record by which that was found. It may be
// changed as copyToChange says.
func original(pod *corev1.Pod) (*corev1.Pod, record) {
	was := copyToChange(pod)
	removeReadinessGate(&was.Spec)
	r, injected := readRecord(pod)
	if !injected {
		return was, record{}
	}
	if current := was.Spec.TerminationGracePeriodSeconds; current != nil && *current == r.GraceSet {
		was.Spec.TerminationGracePeriodSeconds = r.Grace
	}
	restoreProbes(&was.Spec, r.Probes)
	restoreHooks(&was.Spec, r.Hooks)
	removeVariables(&was.Spec, r.Variables)
	removeDelivery(was, r)
	delete(was.Labels, v1alpha1.LabelInjected)
	delete(was.Annotations, v1alpha1.AnnotationInjectedBy)
	delete(was.Annotations, v1alpha1.AnnotationOriginal)
	was.Labels, was.Annotations = nilIfEmpty(was.Labels), nilIfEmpty(was.Annotations)
	return was, r
}

// restoreProbes takes back graces that are still as they were set.
func restoreProbes(spec *corev1.PodSpec, set []ProbeGrace) {
	for c := range longRunning(spec) {
		for kind, probe := range restartProbes(c) {
			now := probe.TerminationGracePeriodSeconds
			if now != nil && slices.Contains(set, ProbeGrace{Container: c.Name, Kind: kind, Seconds: *now}) {
				probe.TerminationGracePeriodSeconds = nil
			}
		}
	}
}

// restoreHooks puts a container's own hook back where ours still is. The
// agent's command is ours, recorded or not.
func restoreHooks(spec *corev1.PodSpec, set []recordedHook) {
	for i := range spec.Containers {
		c := &spec.Containers[i]
		hook := preStop(c)
		at := slices.IndexFunc(set, func(r recordedHook) bool { return r.Container == c.Name })
		switch {
		case hook == nil:
		case at >= 0 && isOurs(hook, set[at].SleepSeconds):
			c.Lifecycle.PreStop = plausible(set[at].Was, ownGrace(spec))
		case isOurs(hook, 0):
			c.Lifecycle.PreStop = nil
		}
		if c.Lifecycle != nil && *c.Lifecycle == (corev1.Lifecycle{}) {
			c.Lifecycle = nil
		}
	}
}

// plausible is a recorded hook as a valid pod of that grace can have had it;
// else nil.
func plausible(hook *corev1.LifecycleHandler, grace int64) *corev1.LifecycleHandler {
	if hook == nil {
		return nil
	}
	kinds := 0
	for _, set := range []bool{hook.Exec != nil, hook.HTTPGet != nil, hook.TCPSocket != nil, hook.Sleep != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 || hook.Sleep != nil && (hook.Sleep.Seconds < 0 || hook.Sleep.Seconds > grace) {
		return nil
	}
	return hook
}

func isOurs(hook *corev1.LifecycleHandler, sleepSeconds int64) bool {
	if hook.Exec != nil {
		return hold.IsAgentCommand(hook.Exec.Command)
	}
	return hook.Sleep != nil && sleepSeconds > 0 && hook.Sleep.Seconds == sleepSeconds
}

// removeDelivery takes out the agent's volume, its mounts and its installer.
func removeDelivery(pod *corev1.Pod, r record) {
	spec := &pod.Spec
	spec.InitContainers = deleteFunc(spec.InitContainers, func(c corev1.Container) bool { return isInstaller(c, r.InitContainer) })
	kept := deleteFunc(spec.Volumes, func(v corev1.Volume) bool { return isAgentVolume(v, r.Volume) })
	if len(kept) == len(spec.Volumes) {
		return
	}
	spec.Volumes = kept
	for i := range spec.Containers {
		spec.Containers[i].VolumeMounts = deleteFunc(spec.Containers[i].VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == r.Volume && m.MountPath == hold.AgentDir
		})
	}
	setLocalVolumes(pod, slices.DeleteFunc(localVolumes(pod), func(name string) bool { return name == r.Volume }))
}

func isInstaller(c corev1.Container, name string) bool {
	return name != "" && c.Name == name && slices.Contains(c.Command, hold.AgentPath)
}

func isAgentVolume(v corev1.Volume, name string) bool {
	return name != "" && v.Name == name && (v.Image != nil || v.EmptyDir != nil)
}

// localVolumes are the volumes that the autoscaler's annotation names.
func localVolumes(pod *corev1.Pod) []string {
	if value := pod.Annotations[AnnotationLocalVolumes]; value != "" {
		return strings.Split(value, ",")
	}
	return nil
}

func setLocalVolumes(pod *corev1.Pod, names []string) {
	if len(names) == 0 {
		delete(pod.Annotations, AnnotationLocalVolumes)
		return
	}
	pod.Annotations = withKey(pod.Annotations, AnnotationLocalVolumes, strings.Join(names, ","))
}

// deleteFunc is slices.DeleteFunc whose empty result is nil, as it was before
// anything was added.
func deleteFunc[T any](list []T, drop func(T) bool) []T {
	if kept := slices.DeleteFunc(list, drop); len(kept) > 0 {
		return kept
	}
	return nil
}

func nilIfEmpty(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

func withKey(m map[string]string, key, value string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	return m
}

func findContainer(containers []corev1.Container, name string) *corev1.Container {
	for i := range containers {
		if containers[i].Name == name {
			return &containers[i]
		}
	}
	return nil
}
