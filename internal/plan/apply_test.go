package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func inject(p *utiltesting.PolicyWrapper, pod *corev1.Pod, o plan.Options) *corev1.Pod {
	return plan.Apply(plan.Build(p.Obj(), pod, o), pod)
}

func TestApply(t *testing.T) {
	pod := utiltesting.MakePod("a").
		Container(utiltesting.MakeContainer("web").Port("http", 8080).Liveness(intstr.FromString("http")).Limit(corev1.ResourceMemory, "1Gi")).
		Container(utiltesting.MakeContainer("side").PreStopSleep(3)).
		Init(utiltesting.MakeContainer("setup")).
		Annotation(plan.AnnotationLocalVolumes, "scratch").
		Grace(20).Obj()
	got := inject(utiltesting.MakePolicy("shop").Generation(7).ExistingHook(v1alpha1.ExistingHookReplace).Strategy(v1alpha1.StrategyAgent), pod, byInit)

	agent := hold.Spec{
		Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained,
		PropagationSeconds: 5, PropagationMaxSeconds: 30, BoundSeconds: 50,
		TCP: &hold.TCP{IdleSeconds: 2}, ServePorts: []int32{8080}, TerminationLog: "/dev/termination-log",
		Alive: &hold.Probe{Port: 8080, HTTPPath: "/healthz", Scheme: "HTTP", PeriodSeconds: 10, TimeoutSeconds: 1, FailureThreshold: 3},
	}
	beside := agent
	beside.Role, beside.Alive = hold.RoleFollow, nil
	mount := corev1.VolumeMount{Name: "drain-operator-agent", MountPath: "/drain-operator", ReadOnly: true}
	want := utiltesting.MakePod("a").
		Label("drain-operator.dev/injected", "true").
		Annotation("drain-operator.dev/injected-by", "shop/7").
		Annotation("drain-operator.dev/original", `{"grace":20,"graceSet":70,`+
			`"hooks":[{"container":"web"},{"container":"side","was":{"sleep":{"seconds":3}}}],`+
			`"probes":[{"container":"web","kind":"Liveness","seconds":20}],`+
			`"volume":"drain-operator-agent","initContainer":"drain-operator-agent","image":"`+image+`"}`).
		Annotation(plan.AnnotationLocalVolumes, "scratch,drain-operator-agent").
		Container(utiltesting.MakeContainer("web").Port("http", 8080).Liveness(intstr.FromString("http")).Limit(corev1.ResourceMemory, "1Gi").
			PreStopExec(command(t, agent)...).With(func(c *corev1.Container) {
			c.LivenessProbe.TerminationGracePeriodSeconds = ptr.To[int64](20)
			c.VolumeMounts = []corev1.VolumeMount{mount}
		})).
		Container(utiltesting.MakeContainer("side").PreStopExec(command(t, beside)...).With(func(c *corev1.Container) {
			c.VolumeMounts = []corev1.VolumeMount{mount}
		})).
		Init(&utiltesting.ContainerWrapper{Container: *installerOf(func(c *corev1.Container) {
			c.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
			c.Resources.Requests = c.Resources.Limits
		})}).
		Init(utiltesting.MakeContainer("setup")).
		Volume("drain-operator-agent", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: ptr.To(resource.MustParse("16Mi"))}}).
		Grace(70).Obj()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReinvocation lets others change an injected pod before it is seen again.
func TestReinvocation(t *testing.T) {
	p := utiltesting.MakePolicy("p")
	pod := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Limit(corev1.ResourceMemory, "1Gi").Port("http", 8080)).Grace(20).Obj()
	for name, tc := range map[string]struct {
		between func(*corev1.Pod)
		check   func(t *testing.T, before, after *corev1.Pod)
	}{
		"the grace was raised: that one counts": {
			between: func(pod *corev1.Pod) { pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](120) },
			check: func(t *testing.T, _, after *corev1.Pod) {
				want(t, ptr.To[int64](30+120+120), after.Spec.TerminationGracePeriodSeconds)
			},
		},
		"the hook was replaced: that one is kept": {
			between: func(pod *corev1.Pod) {
				pod.Spec.Containers[0].Lifecycle.PreStop = &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"theirs"}}}
			},
			check: func(t *testing.T, before, after *corev1.Pod) {
				want(t, before.Spec.Containers[0].Lifecycle, after.Spec.Containers[0].Lifecycle)
				want(t, 0, len(after.Spec.Volumes))
			},
		},
		"the installer's image was rewritten: it stays": {
			between: func(pod *corev1.Pod) { pod.Spec.InitContainers[0].Image = "mirror.example/drain-agent" },
			check:   wantUnchanged,
		},
		"the installer was moved: it goes first again": {
			between: func(pod *corev1.Pod) {
				pod.Spec.InitContainers = append([]corev1.Container{{Name: "theirs"}}, pod.Spec.InitContainers...)
			},
			check: func(t *testing.T, _, after *corev1.Pod) {
				want(t, plan.InitContainerName, after.Spec.InitContainers[0].Name)
			},
		},
		"the app's resources were changed: the installer follows": {
			between: func(pod *corev1.Pod) {
				more := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("2Gi")}
				pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: more, Limits: more}
			},
			check: func(t *testing.T, _, after *corev1.Pod) {
				want(t, after.Spec.Containers[0].Resources, after.Spec.InitContainers[0].Resources)
			},
		},
		"a probe was given a grace: it stays": {
			between: func(pod *corev1.Pod) {
				pod.Spec.Containers[0].LivenessProbe = &corev1.Probe{TerminationGracePeriodSeconds: ptr.To[int64](5)}
			},
			check: func(t *testing.T, _, after *corev1.Pod) {
				want(t, ptr.To[int64](5), after.Spec.Containers[0].LivenessProbe.TerminationGracePeriodSeconds)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			between := inject(p, pod, byInit)
			tc.between(between)
			tc.check(t, between, inject(p, between, byInit))
		})
	}
}

func wantUnchanged(t *testing.T, before, after *corev1.Pod) {
	t.Helper()
	want(t, before, after)
}

func want[T any](t *testing.T, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCopied injects pods that somebody copied from injected ones.
func TestCopied(t *testing.T) {
	p := utiltesting.MakePolicy("p")
	pod := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080)).Obj()
	withImage := func(o plan.Options, image string) plan.Options {
		o.AgentImage = image
		return o
	}
	for name, tc := range map[string]struct {
		pod  *corev1.Pod
		want *corev1.Pod
	}{
		"whole": {
			pod:  inject(p, pod, byInit),
			want: inject(p, pod, byInit),
		},
		"of an older agent": {
			pod:  inject(p, pod, withImage(byInit, "registry.example/drain-agent@sha256:old")),
			want: inject(p, pod, byInit),
		},
		"of another way of delivery": {
			pod:  inject(p, pod, plan.Options{AgentImage: image, Delivery: plan.ImageVolume}),
			want: inject(p, pod, byInit),
		},
		"without its record: the grace counts as its own": {
			pod:  without(inject(p, pod, byInit), v1alpha1.AnnotationOriginal),
			want: inject(p, utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080)).Grace(90).Obj(), byInit),
		},
		"with a record that cannot be read": {
			pod:  with(inject(p, pod, byInit), v1alpha1.AnnotationOriginal, `{"grace":"long"`),
			want: inject(p, utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080)).Grace(90).Obj(), byInit),
		},
	} {
		t.Run(name, func(t *testing.T) {
			want(t, tc.want, inject(p, tc.pod, byInit))
		})
	}
}

// TestForgedRecord: a record that names what is not ours takes nothing away.
func TestForgedRecord(t *testing.T) {
	forged := utiltesting.MakePod("a").
		Container(utiltesting.MakeContainer("app").PreStopExec("mine").Mount("data", "/drain-operator")).
		Init(utiltesting.MakeContainer("setup")).
		Volume("data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}).
		Annotation(v1alpha1.AnnotationOriginal, `{"grace":1,"graceSet":999,"hooks":[{"container":"app"},{"container":"none"}],`+
			`"probes":[{"container":"app","kind":"Liveness","seconds":1}],"volume":"data","initContainer":"setup"}`).
		Grace(40).Obj()
	got := inject(utiltesting.MakePolicy("p"), forged, byInit)
	want(t, forged.Spec.Containers, got.Spec.Containers)
	want(t, forged.Spec.InitContainers, got.Spec.InitContainers)
	want(t, forged.Spec.Volumes, got.Spec.Volumes)
	want(t, ptr.To[int64](30+40+40), got.Spec.TerminationGracePeriodSeconds)
}

// TestForgedHook: a recorded hook that no valid pod can have had is dropped.
func TestForgedHook(t *testing.T) {
	p := utiltesting.MakePolicy("p")
	pod := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app").Port("http", 8080)).Grace(20).Obj()
	for name, was := range map[string]string{
		"none of all kinds":     `{}`,
		"two kinds":             `{"exec":{"command":["a"]},"sleep":{"seconds":1}}`,
		"longer than the grace": `{"sleep":{"seconds":21}}`,
		"negative":              `{"sleep":{"seconds":-1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			forged := with(inject(p, pod, byInit), v1alpha1.AnnotationOriginal,
				`{"grace":20,"graceSet":70,"hooks":[{"container":"app","was":`+was+`}],"volume":"drain-operator-agent",`+
					`"initContainer":"drain-operator-agent","image":"`+image+`"}`)
			want(t, inject(p, pod, byInit), inject(p, forged, byInit))
		})
	}
}

func command(t *testing.T, spec hold.Spec) []string {
	t.Helper()
	c, err := spec.Command()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func without(pod *corev1.Pod, annotation string) *corev1.Pod {
	delete(pod.Annotations, annotation)
	return pod
}

func with(pod *corev1.Pod, annotation, value string) *corev1.Pod {
	pod.Annotations[annotation] = value
	return pod
}
