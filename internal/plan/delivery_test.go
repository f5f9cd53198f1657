package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// byInit delivers by init container.
var byInit = plan.Options{AgentImage: image, Delivery: plan.InitContainer}

// installerOf is the installer as most pods get it.
func installerOf(edit func(*corev1.Container)) *corev1.Container {
	c := &corev1.Container{
		Name:            "drain-operator-agent",
		Image:           image,
		ImagePullPolicy: corev1.PullIfNotPresent,
		Command:         []string{"/drain-agent", "install", "/drain-operator/drain-agent"},
		VolumeMounts: []corev1.VolumeMount{
			{Name: "drain-operator-agent", MountPath: "/drain-operator"},
			{Name: "drain-operator-agent", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem:   ptr.To(true),
			RunAsNonRoot:             ptr.To(true),
			SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TerminationMessagePath:   "/dev/termination-log",
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
	}
	if edit != nil {
		edit(c)
	}
	return c
}

func TestInstaller(t *testing.T) {
	app := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("app") }
	runsAs := func(pod corev1.PodSecurityContext) *utiltesting.PodWrapper {
		return utiltesting.MakePod("a").Container(app()).With(func(s *corev1.PodSpec) { s.SecurityContext = &pod })
	}
	asAgent := func(c *corev1.Container) { c.SecurityContext.RunAsUser = ptr.To[int64](65532) }
	for name, tc := range map[string]struct {
		pod  *utiltesting.PodWrapper
		want *corev1.Container
	}{
		"nothing said":             {pod: utiltesting.MakePod("a").Container(app()), want: installerOf(nil)},
		"the pod runs as somebody": {pod: runsAs(corev1.PodSecurityContext{RunAsUser: ptr.To[int64](1000)}), want: installerOf(nil)},
		"the pod runs as root":     {pod: runsAs(corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0)}), want: installerOf(asAgent)},
		"the pod runs as root and says it must not": {
			pod:  runsAs(corev1.PodSecurityContext{RunAsUser: ptr.To[int64](0), RunAsNonRoot: ptr.To(true)}),
			want: installerOf(asAgent),
		},
		"the container runs as root": {
			pod: utiltesting.MakePod("a").Container(app().With(func(c *corev1.Container) {
				c.SecurityContext = &corev1.SecurityContext{RunAsUser: ptr.To[int64](0), Privileged: ptr.To(true)}
			})),
			want: installerOf(nil),
		},
		"what quotas and the QoS class ask about, and no GPU": {
			pod: utiltesting.MakePod("a").Container(app().
				Limit(corev1.ResourceCPU, "1").Limit(corev1.ResourceMemory, "1Gi").
				Limit(corev1.ResourceEphemeralStorage, "2Gi").Limit("nvidia.com/gpu", "1")),
			want: installerOf(func(c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"),
					corev1.ResourceEphemeralStorage: resource.MustParse("2Gi"),
				}
				c.Resources.Requests = c.Resources.Limits
			}),
		},
		"resources of the first container in which the agent has room": {
			pod: utiltesting.MakePod("a").
				Container(utiltesting.MakeContainer("tiny").Limit(corev1.ResourceMemory, "16Mi")).
				Container(app().Limit(corev1.ResourceMemory, "128Mi")),
			want: installerOf(func(c *corev1.Container) {
				c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("128Mi")}
				c.Resources.Requests = c.Resources.Limits
			}),
		},
		"names that are taken": {
			pod: utiltesting.MakePod("a").
				Container(utiltesting.MakeContainer("drain-operator-agent")).
				Init(utiltesting.MakeContainer("drain-operator-agent-2")).
				Volume("drain-operator-agent", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}),
			want: installerOf(func(c *corev1.Container) {
				c.Name = "drain-operator-agent-3"
				c.VolumeMounts[0].Name, c.VolumeMounts[1].Name = "drain-operator-agent-2", "drain-operator-agent-2"
			}),
		},
		"only small containers: nothing to install": {
			pod: utiltesting.MakePod("a").Container(app().Limit(corev1.ResourceMemory, "16Mi")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := plan.Build(utiltesting.MakePolicy("p").Obj(), tc.pod.Obj(), byInit)
			if diff := cmp.Diff(tc.want, got.InitContainer, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if (got.Volume != nil) != (tc.want != nil) {
				t.Errorf("volume %v, installer wanted: %t", got.Volume, tc.want != nil)
			}
		})
	}
}

// TestEmptyDir asks for the agent where a plain kubectl drain must not be
// stopped by it: only pods that it refuses already, or does not look at, get it.
func TestEmptyDir(t *testing.T) {
	pod := func() *utiltesting.PodWrapper {
		return utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app"))
	}
	for name, tc := range map[string]struct {
		pod   *utiltesting.PodWrapper
		agent bool
	}{
		"drained so far":            {pod: pod()},
		"drained so far, has a PVC": {pod: pod().Volume("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{}})},
		"refused already":           {pod: pod().Volume("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), agent: true},
		"passed over":               {pod: pod().Owner("apps/v1", "DaemonSet", "d"), agent: true},
		"of a ReplicaSet":           {pod: pod().Owner("apps/v1", "ReplicaSet", "r")},
	} {
		t.Run(name, func(t *testing.T) {
			for _, avoid := range []bool{true, false} {
				o := byInit
				o.AvoidEmptyDir = avoid
				got := plan.Build(utiltesting.MakePolicy("p").Obj(), tc.pod.Obj(), o)
				type facts struct{ Agent, Sleeps, SaysBlocks, SaysAvoided bool }
				want := facts{Agent: tc.agent || !avoid, Sleeps: avoid && !tc.agent, SaysBlocks: !avoid && !tc.agent, SaysAvoided: avoid && !tc.agent}
				seen := facts{
					Agent: len(got.AgentContainers()) == 1 && got.Volume != nil, Sleeps: got.Volume == nil && len(got.Hooks) == 1,
					SaysBlocks: hasNote(got, plan.NoteEmptyDir), SaysAvoided: hasNote(got, plan.NoteEmptyDirAvoided),
				}
				if diff := cmp.Diff(want, seen); diff != "" {
					t.Errorf("AvoidEmptyDir %t (-want +got):\n%s", avoid, diff)
				}
			}
		})
	}
}
