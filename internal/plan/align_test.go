package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func aligning() *utiltesting.PolicyWrapper {
	return utiltesting.MakePolicy("p").With(func(s *v1alpha1.DrainPolicySpec) {
		s.GracePeriod.ServerTimeout = v1alpha1.ServerTimeoutAlign
		s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation
	})
}

func gunicorn(args ...string) *utiltesting.ContainerWrapper {
	return utiltesting.MakeContainer("web").Port("http", 8080).Runs(append([]string{"gunicorn", "app:app"}, args...)...)
}

func TestAlign(t *testing.T) {
	to := func(value string) []plan.Variable {
		return []plan.Variable{{Container: "web", Name: "GUNICORN_CMD_ARGS", Value: value}}
	}
	release := func(when v1alpha1.ReleaseWhen) func(*v1alpha1.DrainPolicySpec) {
		return func(s *v1alpha1.DrainPolicySpec) { s.PreStop.ReleaseWhen = when }
	}
	type notes = map[plan.NoteReason]string
	left := notes{plan.NoteTimeoutNotAligned: "web"}
	tests := map[string]struct {
		policy *utiltesting.PolicyWrapper // default: aligning, released when out of rotation
		pod    *utiltesting.PodWrapper
		want   []plan.Variable
		notes  notes
	}{
		// A grace of 90 s, let go after 30 s at the latest, 2 s for the end.
		"out of rotation": {pod: utiltesting.MakePod("a").Container(gunicorn()), want: to("--graceful-timeout=58"), notes: notes{}},
		"drained: what is left after the bound, if it is more than the default": {
			policy: aligning().With(release(v1alpha1.ReleaseWhenDrained)),
			pod:    utiltesting.MakePod("a").Container(gunicorn()).Grace(120),
			want:   to("--graceful-timeout=118"), notes: notes{},
		},
		"drained: the default is enough": {
			policy: aligning().With(release(v1alpha1.ReleaseWhenDrained)),
			pod:    utiltesting.MakePod("a").Container(gunicorn()), notes: notes{},
		},
		"a native sleep": {
			policy: aligning().With(release("")).Strategy(v1alpha1.StrategySleep).Propagation(5, 20),
			pod:    utiltesting.MakePod("a").Container(gunicorn()),
			want:   to("--graceful-timeout=58"), notes: notes{},
		},
		"no hook": {
			policy: aligning().With(release("")).Strategy(v1alpha1.StrategyNone),
			pod:    utiltesting.MakePod("a").Container(gunicorn()),
			want:   to("--graceful-timeout=88"), notes: notes{},
		},
		"a hook of its own, however long it takes": {
			pod:  utiltesting.MakePod("a").Container(gunicorn().PreStopExec("true")).Grace(120),
			want: to("--graceful-timeout=118"), notes: notes{plan.NoteHookKept: "web"},
		},
		"not asked for": {
			policy: utiltesting.MakePolicy("p").With(release(v1alpha1.ReleaseWhenOutOfRotation)),
			pod:    utiltesting.MakePod("a").Container(gunicorn()), notes: notes{},
		},
		"the flag":              {pod: utiltesting.MakePod("a").Container(gunicorn("--graceful-timeout=20")), notes: left},
		"the flag, long enough": {pod: utiltesting.MakePod("a").Container(gunicorn("--graceful-timeout=58")), notes: notes{}},
		"a configuration file":  {pod: utiltesting.MakePod("a").Container(gunicorn("-c", "conf.py")), notes: left},
		"the variable": {
			pod: utiltesting.MakePod("a").Container(gunicorn().With(func(c *corev1.Container) {
				c.Env = []corev1.EnvVar{{Name: "GUNICORN_CMD_ARGS", Value: "-w 4"}}
			})),
			notes: left,
		},
		"variables from elsewhere": {
			pod: utiltesting.MakePod("a").Container(gunicorn().With(func(c *corev1.Container) {
				c.EnvFrom = []corev1.EnvFromSource{{Prefix: "x"}}
			})),
			notes: left,
		},
		"Hypercorn reads no variable": {
			pod: utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").Port("http", 8080).Runs("hypercorn", "app:app")), notes: left,
		},
		"Uvicorn waits without end": {
			pod: utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").Port("http", 8080).Runs("uvicorn", "app:app")), notes: notes{},
		},
		"no server that is known": {pod: utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").Port("http", 8080)), notes: notes{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.policy == nil {
				tc.policy = aligning()
			}
			p := plan.Build(tc.policy.Obj(), tc.pod.Obj(), plan.Options{Delivery: plan.ImageVolume})
			if diff := cmp.Diff(tc.want, p.Variables); diff != "" {
				t.Errorf("variables (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.notes, see(t, p).Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAlignApplied(t *testing.T) {
	other := corev1.EnvVar{Name: "A", Value: "b"}
	pod := utiltesting.MakePod("a").Container(gunicorn().With(func(c *corev1.Container) { c.Env = []corev1.EnvVar{other} })).Obj()
	before := pod.DeepCopy()
	injected := inject(aligning(), pod, byInit)
	ours := corev1.EnvVar{Name: "GUNICORN_CMD_ARGS", Value: "--graceful-timeout=58"}
	want(t, []corev1.EnvVar{other, ours}, injected.Spec.Containers[0].Env)
	want(t, before, pod)
	want(t, injected, inject(aligning(), injected, byInit))

	// Another policy takes it out again.
	want(t, []corev1.EnvVar{other}, inject(utiltesting.MakePolicy("p"), injected, byInit).Spec.Containers[0].Env)

	// Where somebody has changed it since, that one counts.
	theirs := injected.DeepCopy()
	theirs.Spec.Containers[0].Env[1].Value = "-w 4"
	want(t, []corev1.EnvVar{other, {Name: "GUNICORN_CMD_ARGS", Value: "-w 4"}}, inject(aligning(), theirs, byInit).Spec.Containers[0].Env)

	// The copy of an injected pod with another grace gets another one.
	longer := injected.DeepCopy()
	longer.Spec.TerminationGracePeriodSeconds = new(int64(120))
	want(t, []corev1.EnvVar{other, {Name: "GUNICORN_CMD_ARGS", Value: "--graceful-timeout=238"}}, inject(aligning(), longer, byInit).Spec.Containers[0].Env)
}
