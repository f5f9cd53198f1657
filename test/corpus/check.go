package corpus

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// CheckOnlyPlanned reports everything in which after differs from before
// beyond what the plan says, and everything that the plan says and after does
// not have; nil when there is nothing.
//
// It does not use plan.Apply: it undoes the plan step by step in a copy of
// after, insisting on each, and compares what remains. Both pods may come from
// an API server: what each creation sets anew is left out of the comparison.
func CheckOnlyPlanned(before, after *corev1.Pod, p plan.Plan) error {
	u := undoing{before: before.DeepCopy(), pod: after.DeepCopy(), plan: p}
	u.grace()
	u.probes()
	u.hooks()
	u.delivery()
	u.readinessGate()
	u.marks()
	if diff := cmp.Diff(normal(u.before), normal(u.pod), cmpopts.EquateEmpty()); diff != "" {
		u.complain("changed beyond the plan (-before +after):\n%s", diff)
	}
	if len(u.complaints) == 0 {
		return nil
	}
	return fmt.Errorf("pod %s: %s", before.Name, strings.Join(u.complaints, "; "))
}

// undoing takes a plan out of a pod.
type undoing struct {
	before, pod *corev1.Pod
	plan        plan.Plan
	complaints  []string
}

func (u *undoing) complain(format string, args ...any) {
	u.complaints = append(u.complaints, fmt.Sprintf(format, args...))
}

func (u *undoing) grace() {
	if got := u.pod.Spec.TerminationGracePeriodSeconds; got == nil || *got != u.plan.GraceSeconds {
		u.complain("the grace is not %d", u.plan.GraceSeconds)
	}
	u.pod.Spec.TerminationGracePeriodSeconds = u.before.Spec.TerminationGracePeriodSeconds
}

func (u *undoing) probes() {
	for _, planned := range u.plan.ProbeGraces {
		c := find(u.pod, planned.Container)
		if c == nil {
			u.complain("no container %s for a probe's grace", planned.Container)
			continue
		}
		probe := c.LivenessProbe
		if planned.Kind == plan.StartupProbe {
			probe = c.StartupProbe
		}
		if probe == nil || probe.TerminationGracePeriodSeconds == nil || *probe.TerminationGracePeriodSeconds != planned.Seconds {
			u.complain("the %s probe of %s has no grace of %d", planned.Kind, planned.Container, planned.Seconds)
			continue
		}
		probe.TerminationGracePeriodSeconds = nil
	}
}

func (u *undoing) hooks() {
	for _, planned := range u.plan.Hooks {
		c, was := find(u.pod, planned.Container), find(u.before, planned.Container)
		if c == nil || was == nil || c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
			u.complain("container %s has no hook", planned.Container)
			continue
		}
		if diff := cmp.Diff(&planned.Handler, c.Lifecycle.PreStop); diff != "" {
			u.complain("the hook of %s is not the planned one: %s", planned.Container, diff)
		}
		c.Lifecycle.PreStop = nil
		if was.Lifecycle != nil {
			c.Lifecycle.PreStop = was.Lifecycle.PreStop
		}
		if was.Lifecycle == nil && *c.Lifecycle == (corev1.Lifecycle{}) {
			c.Lifecycle = nil
		}
	}
}

func (u *undoing) delivery() {
	if u.plan.Volume == nil {
		return
	}
	name := u.plan.Volume.Name
	for _, container := range u.plan.AgentContainers() {
		u.unmount(container, corev1.VolumeMount{Name: name, MountPath: hold.AgentDir, ReadOnly: true})
	}
	at := slices.IndexFunc(u.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if at < 0 {
		u.complain("no volume %s", name)
		return
	}
	if diff := cmp.Diff(*u.plan.Volume, u.pod.Spec.Volumes[at]); diff != "" {
		u.complain("the agent's volume is not the planned one: %s", diff)
	}
	u.pod.Spec.Volumes = slices.Delete(u.pod.Spec.Volumes, at, at+1)
	if u.plan.InitContainer != nil {
		u.installer()
	}
}

func (u *undoing) unmount(container string, mount corev1.VolumeMount) {
	c := find(u.pod, container)
	if c == nil {
		u.complain("no container %s", container)
		return
	}
	at := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return cmp.Equal(m, mount) })
	if at < 0 {
		u.complain("container %s does not mount the agent as planned", container)
		return
	}
	c.VolumeMounts = slices.Delete(c.VolumeMounts, at, at+1)
}

// installer takes out the init container and the volume's name in the
// autoscaler's annotation.
func (u *undoing) installer() {
	inits := u.pod.Spec.InitContainers
	if len(inits) == 0 || inits[0].Name != u.plan.InitContainer.Name {
		u.complain("the installer is not the first init container")
		return
	}
	if diff := cmp.Diff(u.plan.InitContainer, &inits[0], cmpopts.EquateEmpty()); diff != "" {
		u.complain("the installer is not the planned one: %s", diff)
	}
	u.pod.Spec.InitContainers = inits[1:]
	was, had := u.before.Annotations[plan.AnnotationLocalVolumes]
	want := u.plan.Volume.Name
	if was != "" {
		want = was + "," + want
	}
	if got := u.pod.Annotations[plan.AnnotationLocalVolumes]; got != want {
		u.complain("the annotation %s is %q, not %q", plan.AnnotationLocalVolumes, got, want)
	}
	delete(u.pod.Annotations, plan.AnnotationLocalVolumes)
	if had && u.pod.Annotations != nil {
		u.pod.Annotations[plan.AnnotationLocalVolumes] = was
	}
}

// readinessGate insists on one as the last in the list, and on none where none
// is planned.
func (u *undoing) readinessGate() {
	gates := u.pod.Spec.ReadinessGates
	last := len(gates) - 1
	switch {
	case !u.plan.ReadinessGate:
	case last < 0 || gates[last].ConditionType != v1alpha1.PodInRotation:
		u.complain("the last readiness gate is not ours")
	default:
		u.pod.Spec.ReadinessGates = gates[:last]
	}
}

func (u *undoing) marks() {
	if u.pod.Labels[v1alpha1.LabelInjected] != "true" {
		u.complain("the label %s is missing", v1alpha1.LabelInjected)
	}
	want := fmt.Sprintf("%s/%d", u.plan.Policy, u.plan.Generation)
	if got := u.pod.Annotations[v1alpha1.AnnotationInjectedBy]; got != want {
		u.complain("the annotation %s is %q, not %q", v1alpha1.AnnotationInjectedBy, got, want)
	}
	if u.pod.Annotations[v1alpha1.AnnotationOriginal] == "" {
		u.complain("the annotation %s is missing", v1alpha1.AnnotationOriginal)
	}
	delete(u.pod.Labels, v1alpha1.LabelInjected)
	delete(u.pod.Annotations, v1alpha1.AnnotationInjectedBy)
	delete(u.pod.Annotations, v1alpha1.AnnotationOriginal)
}

// find is a regular container or init container by its name.
func find(pod *corev1.Pod, name string) *corev1.Container {
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// tokenVolume is the volume that the API server adds for the service account,
// with a random end.
var tokenVolume = regexp.MustCompile(`^kube-api-access-[a-z0-9]+$`)

// normal blanks what each creation of a pod sets anew.
func normal(pod *corev1.Pod) *corev1.Pod {
	pod.UID, pod.ResourceVersion, pod.Generation = "", "", 0
	pod.CreationTimestamp, pod.ManagedFields = metav1.Time{}, nil
	if pod.GenerateName != "" {
		pod.Name = ""
	}
	for i := range pod.Spec.Volumes {
		pod.Spec.Volumes[i].Name = tokenVolume.ReplaceAllString(pod.Spec.Volumes[i].Name, "kube-api-access")
	}
	for _, list := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range list {
			for j := range list[i].VolumeMounts {
				mount := &list[i].VolumeMounts[j]
				mount.Name = tokenVolume.ReplaceAllString(mount.Name, "kube-api-access")
			}
		}
	}
	return pod
}
