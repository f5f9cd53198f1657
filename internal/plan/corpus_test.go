package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/kubectl/pkg/util/qos"
	"k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
	"github.com/drain-operator/drain-operator/test/corpus"
)

const image = "registry.example/drain-agent@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// policies are one of each kind.
func policies() map[string]*v1alpha1.DrainPolicy {
	existing := func(name string, what v1alpha1.ExistingHook) *v1alpha1.DrainPolicy {
		return utiltesting.MakePolicy(name).ExistingHook(what).Obj()
	}
	return map[string]*v1alpha1.DrainPolicy{
		"defaults":  utiltesting.MakePolicy("defaults").Obj(),
		"http":      utiltesting.MakePolicy("http").HTTP(intstr.FromString("http")).Notify(intstr.FromString("http")).Obj(),
		"number":    utiltesting.MakePolicy("number").HTTP(intstr.FromInt32(8080)).Shutdown(5).Obj(),
		"gate":      utiltesting.MakePolicy("gate").HTTP(intstr.FromInt32(8080)).HoldsDeletions().Obj(),
		"tcp":       utiltesting.MakePolicy("tcp").TCP(80, 8080).MaxHold(3600).Obj(),
		"tight":     utiltesting.MakePolicy("tight").GraceBounds(1, 1).Obj(),
		"wide":      utiltesting.MakePolicy("wide").GraceBounds(900, 3600).Obj(),
		"sleep":     utiltesting.MakePolicy("sleep").Strategy(v1alpha1.StrategySleep).Propagation(5, 600).Obj(),
		"none":      utiltesting.MakePolicy("none").Strategy(v1alpha1.StrategyNone).Obj(),
		"run first": existing("run-first", v1alpha1.ExistingHookRunFirst),
		"run last":  existing("run-last", v1alpha1.ExistingHookRunLast),
		"replace":   existing("replace", v1alpha1.ExistingHookReplace),
		"measured":  utiltesting.MakePolicy("measured").Measured(13, 2).Obj(),
		"measured and tight": utiltesting.MakePolicy("measured-and-tight").Measured(13, 2).GraceBounds(1, 12).
			ExistingHook(v1alpha1.ExistingHookReplace).Strategy(v1alpha1.StrategySleep).Obj(),
	}
}

func options() map[string]plan.Options {
	return map[string]plan.Options{
		"image volume":     {AgentImage: image, Delivery: plan.ImageVolume, ReadinessGates: true},
		"init container":   {AgentImage: image, Delivery: plan.InitContainer, ReadinessGates: true},
		"without emptyDir": {AgentImage: image, Delivery: plan.InitContainer, AvoidEmptyDir: true},
		"breaker":          {AgentImage: image, Delivery: plan.ImageVolume, SleepOnly: true},
	}
}

// forEach runs a test with every pod of the corpus that is not left alone,
// every policy and every way of delivery.
func forEach(t *testing.T, test func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options)) {
	t.Helper()
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range append(cases, sleepers()...) {
		if _, excluded := plan.Exclude(c.Pod, "default", plan.Options{}); excluded {
			continue
		}
		for policyName, p := range policies() {
			for delivery, o := range options() {
				ran++
				t.Run(fmt.Sprintf("%s/%s/%s", c.Name, policyName, delivery), func(t *testing.T) { test(t, c.Pod.DeepCopy(), p, o) })
			}
		}
	}
	if ran == 0 {
		t.Fatal("no pod of the corpus is left")
	}
}

// sleepers are pods that the corpus lacks: those with the sleeps that the API
// server compares with the grace.
func sleepers() []corpus.Case {
	app := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("app").Port("http", 8080) }
	made := func(name string, pod *utiltesting.PodWrapper) corpus.Case {
		return corpus.Case{Name: "made up: " + name, Pod: pod.Grace(90).Obj()}
	}
	return []corpus.Case{
		made("preStop", utiltesting.MakePod("a").Container(app().PreStopSleep(90))),
		made("postStart", utiltesting.MakePod("b").Container(app().With(postStartSleep(90)))),
		made("preStop of a sidecar", utiltesting.MakePod("c").Container(app()).Sidecar(utiltesting.MakeContainer("helper").PreStopSleep(90))),
		made("postStart of a sidecar", utiltesting.MakePod("d").Container(app()).Sidecar(utiltesting.MakeContainer("helper").With(postStartSleep(90)))),
	}
}

// same compares pods as the API server does: empty is unset.
func same(t *testing.T, what string, want, got *corev1.Pod) {
	t.Helper()
	if !apiequality.Semantic.DeepEqual(want, got) {
		t.Errorf("%s (-want +got):\n%s", what, cmp.Diff(want, got))
	}
}

func TestCorpusOnlyPlanned(t *testing.T) {
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		before := pod.DeepCopy()
		planned := plan.Build(p, pod, o)
		after := plan.Apply(planned, pod)
		if !apiequality.Semantic.DeepEqual(before, pod) {
			t.Fatalf("the pod itself was changed (-before +after):\n%s", cmp.Diff(before, pod))
		}
		if err := corpus.CheckOnlyPlanned(before, after, planned); err != nil {
			t.Error(err)
		}
	})
}

func TestCorpusIdempotent(t *testing.T) {
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		planned := plan.Build(p, pod, o)
		once := plan.Apply(planned, pod)
		before := once.DeepCopy()
		again := plan.Build(p, once, o)
		if !apiequality.Semantic.DeepEqual(planned, again) {
			t.Errorf("another plan for the injected pod (-first +second):\n%s", cmp.Diff(planned, again))
		}
		same(t, "applied twice", once, plan.Apply(again, once))
		same(t, "the injected pod itself", before, once)
	})
}

// TestCorpusOtherPolicy applies one policy over another: the first leaves no trace.
func TestCorpusOtherPolicy(t *testing.T) {
	others := []string{"http", "run first", "gate"}
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		want := plan.Apply(plan.Build(p, pod, o), pod)
		for _, other := range others {
			over := plan.Apply(plan.Build(policies()[other], pod, options()["init container"]), pod)
			same(t, "after "+other, want, plan.Apply(plan.Build(p, over, o), over))
		}
	})
}

// TestCorpusAddedContainer has another webhook add a container in between.
func TestCorpusAddedContainer(t *testing.T) {
	proxy := utiltesting.MakeContainer("istio-proxy").Port("http-envoy-prom", 15090).Obj()
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		if hasContainer(pod, proxy.Name) {
			t.Skip("has a proxy already")
		}
		together := pod.DeepCopy()
		together.Spec.Containers = append(together.Spec.Containers, *proxy)
		want := plan.Apply(plan.Build(p, together, o), together)

		between := plan.Apply(plan.Build(p, pod, o), pod)
		between.Spec.Containers = append(between.Spec.Containers, *proxy)
		same(t, "added in between", want, plan.Apply(plan.Build(p, between, o), between))
	})
}

func TestCorpusQOS(t *testing.T) {
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		want := qos.ComputePodQOS(pod)
		if got := qos.ComputePodQOS(plan.Apply(plan.Build(p, pod, o), pod)); got != want {
			t.Errorf("QoS class %s became %s", want, got)
		}
	})
}

// TestCorpusPodSecurity keeps every level of the Pod Security Standards under
// which a pod was allowed.
func TestCorpusPodSecurity(t *testing.T) {
	evaluator, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(pod *corev1.Pod, level api.Level) psa.AggregateCheckResult {
		return psa.AggregateCheckResults(evaluator.EvaluatePod(
			api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec))
	}
	restricted := 0
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		after := plan.Apply(plan.Build(p, pod, o), pod)
		for _, level := range []api.Level{api.LevelBaseline, api.LevelRestricted} {
			if !allowed(pod, level).Allowed {
				continue
			}
			if level == api.LevelRestricted {
				restricted++
			}
			if result := allowed(after, level); !result.Allowed {
				t.Errorf("no longer %s: %s", level, result.ForbiddenDetail())
			}
		}
	})
	if restricted == 0 {
		t.Error("no pod of the corpus is restricted")
	}
}

// TestCorpusDrainable: a pod that a plain kubectl drain evicted is evicted
// still, or the plan says that it is not. Where it is asked for, never the latter.
func TestCorpusDrainable(t *testing.T) {
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		planned := plan.Build(p, pod, o)
		worse := !hasEmptyDir(pod) && hasEmptyDir(plan.Apply(planned, pod))
		if said := hasNote(planned, plan.NoteEmptyDir); said != worse {
			t.Errorf("kubectl drain would newly refuse the pod: %t; the plan says so: %t", worse, said)
		}
		if worse && (o.AvoidEmptyDir || o.Delivery == plan.ImageVolume) {
			t.Error("kubectl drain would newly refuse the pod")
		}
	})
}

// TestCorpusValid looks at the rules of the API server that injection could break.
func TestCorpusValid(t *testing.T) {
	forEach(t, func(t *testing.T, pod *corev1.Pod, p *v1alpha1.DrainPolicy, o plan.Options) {
		planned := plan.Build(p, pod, o)
		after := plan.Apply(planned, pod)
		grace := *after.Spec.TerminationGracePeriodSeconds
		shortened := grace < plan.OwnGrace(pod)
		if measured := p.Status.GracePeriod != nil; shortened && !measured {
			t.Errorf("the grace was shortened to %d", grace)
		}
		checkNames(t, &after.Spec)
		checkSleeps(t, &after.Spec)
		for _, hook := range planned.Hooks {
			checkHook(t, hook, grace)
		}
	})
}

func checkNames(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	names, volumes := map[string]bool{}, map[string]bool{}
	for _, v := range spec.Volumes {
		if volumes[v.Name] {
			t.Errorf("two volumes %s", v.Name)
		}
		volumes[v.Name] = true
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for _, c := range list {
			if names[c.Name] {
				t.Errorf("two containers %s", c.Name)
			}
			names[c.Name] = true
			checkMounts(t, c, volumes)
		}
	}
}

func checkMounts(t *testing.T, c corev1.Container, volumes map[string]bool) {
	t.Helper()
	paths := map[string]bool{}
	for _, m := range c.VolumeMounts {
		if paths[m.MountPath] {
			t.Errorf("container %s mounts two volumes at %s", c.Name, m.MountPath)
		}
		paths[m.MountPath] = true
		if m.MountPath == hold.AgentDir && !volumes[m.Name] {
			t.Errorf("container %s mounts %s, which the pod does not have", c.Name, m.Name)
		}
	}
}

// checkSleeps holds all sleeps to what the API server allows.
func checkSleeps(t *testing.T, spec *corev1.PodSpec) {
	t.Helper()
	for _, c := range slices.Concat(spec.Containers, spec.InitContainers) {
		if c.Lifecycle == nil {
			continue
		}
		for what, hook := range map[string]*corev1.LifecycleHandler{"preStop": c.Lifecycle.PreStop, "postStart": c.Lifecycle.PostStart} {
			if grace := *spec.TerminationGracePeriodSeconds; hook != nil && hook.Sleep != nil && hook.Sleep.Seconds > grace {
				t.Errorf("%s of container %s sleeps %d s of a grace of %d s", what, c.Name, hook.Sleep.Seconds, grace)
			}
		}
	}
}

func checkHook(t *testing.T, hook plan.Hook, grace int64) {
	t.Helper()
	if !hook.RunsAgent() {
		if s := hook.Handler.Sleep.Seconds; s < 1 || s > grace {
			t.Errorf("container %s sleeps %d s of a grace of %d s", hook.Container, s, grace)
		}
		return
	}
	spec, err := hold.ParseCommand(hook.Handler.Exec.Command)
	if err != nil {
		t.Fatalf("the hook of %s: %v", hook.Container, err)
	}
	if bound := int64(spec.BoundSeconds); bound < 1 || bound > max(grace-2, 1) {
		t.Errorf("container %s is held for %d s of a grace of %d s", hook.Container, bound, grace)
	}
}

func hasContainer(pod *corev1.Pod, name string) bool {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			if strings.EqualFold(c.Name, name) {
				return true
			}
		}
	}
	return false
}

func hasEmptyDir(pod *corev1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil {
			return true
		}
	}
	return false
}

func hasNote(p plan.Plan, reason plan.NoteReason) bool {
	for _, n := range p.Notes {
		if n.Reason == reason {
			return true
		}
	}
	return false
}
