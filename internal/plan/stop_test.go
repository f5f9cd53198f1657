package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func TestStopSignal(t *testing.T) {
	web := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("web").Port("http", 8080) }
	softly := func() *utiltesting.PolicyWrapper {
		return utiltesting.MakePolicy("p").StopSignal(v1alpha1.StopSignalQUIT)
	}
	quit := func(until int32) *hold.Stop { return &hold.Stop{Signal: "SIGQUIT", UntilSeconds: until} }
	type stops = map[string]*hold.Stop
	type notes = map[plan.NoteReason]string
	tests := map[string]struct {
		policy *utiltesting.PolicyWrapper // default: SIGQUIT
		pod    *utiltesting.PodWrapper
		o      plan.Options
		want   stops // by container; nil = the agent sends none
		notes  notes
	}{
		"none asked for": {
			policy: utiltesting.MakePolicy("p"),
			pod:    utiltesting.MakePod("a").Container(web()),
			want:   stops{"web": nil}, notes: notes{},
		},
		"SIGTERM follows 2 s before the grace is over": {
			pod:  utiltesting.MakePod("a").Container(web()),
			want: stops{"web": quit(88)}, notes: notes{},
		},
		"whatever the hold's own bound is": {
			policy: softly().MaxHold(20),
			pod:    utiltesting.MakePod("a").Container(web()),
			want:   stops{"web": quit(88)}, notes: notes{},
		},
		"only containers that serve": {
			policy: softly().HTTP(intstr.FromInt32(8080)),
			pod:    utiltesting.MakePod("a").Container(web()).Container(utiltesting.MakeContainer("exporter").Port("metrics", 9000)),
			want:   stops{"web": quit(88), "exporter": nil}, notes: notes{},
		},
		"with a hook that runs last": {
			policy: softly().ExistingHook(v1alpha1.ExistingHookRunLast),
			pod:    utiltesting.MakePod("a").Container(web().PreStopExec("true")),
			want:   stops{"web": quit(88)}, notes: notes{},
		},
		"a hook that is kept": {
			pod:  utiltesting.MakePod("a").Container(web().PreStopExec("true")),
			want: stops{}, notes: notes{plan.NoteHookKept: "web", plan.NoteStopSignalNotSent: "web"},
		},
		"the containers share their processes": {
			pod:  utiltesting.MakePod("a").Container(web()).With(func(s *corev1.PodSpec) { s.ShareProcessNamespace = ptr.To(true) }),
			want: stops{"web": nil}, notes: notes{plan.NoteStopSignalNotSent: "web"},
		},
		"they say that they do not": {
			pod:  utiltesting.MakePod("a").Container(web()).With(func(s *corev1.PodSpec) { s.ShareProcessNamespace = ptr.To(false) }),
			want: stops{"web": quit(88)}, notes: notes{},
		},
		"the node's processes": {
			pod:  utiltesting.MakePod("a").Container(web()).With(func(s *corev1.PodSpec) { s.HostPID = true }),
			want: stops{"web": nil}, notes: notes{plan.NoteStopSignalNotSent: "web"},
		},
		"a stop signal of the container's own": {
			pod: utiltesting.MakePod("a").Container(web().With(func(c *corev1.Container) {
				c.Lifecycle = &corev1.Lifecycle{StopSignal: ptr.To(corev1.SIGUSR1)}
			})),
			want: stops{"web": nil}, notes: notes{plan.NoteStopSignalKept: "web"},
		},
		"a small container": {
			pod:  utiltesting.MakePod("a").Container(web().Limit(corev1.ResourceMemory, "24Mi")),
			want: stops{}, notes: notes{plan.NoteSmallContainer: "web", plan.NoteStopSignalNotSent: "web"},
		},
		"the breaker": {
			o:    plan.Options{SleepOnly: true, Delivery: plan.ImageVolume},
			pod:  utiltesting.MakePod("a").Container(web()),
			want: stops{}, notes: notes{plan.NoteSleepOnly: "", plan.NoteStopSignalNotSent: "web"},
		},
		"a grace of a second": {
			policy: softly().GraceBounds(1, 1),
			pod:    utiltesting.MakePod("a").Container(web()).Grace(1),
			want:   stops{"web": quit(0)}, notes: notes{plan.NoteGraceCapped: ""},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.policy == nil {
				tc.policy = softly()
			}
			if tc.o.Delivery == "" {
				tc.o.Delivery = plan.ImageVolume
			}
			got := see(t, plan.Build(tc.policy.Obj(), tc.pod.Obj(), tc.o))
			found := stops{}
			for container, spec := range got.Holds {
				found[container] = spec.Stop
			}
			if diff := cmp.Diff(tc.want, found); diff != "" {
				t.Errorf("stops (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.notes, got.Notes); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// A container's own stop signal stays, and nothing else of its lifecycle.
func TestStopSignalOfItsOwnStays(t *testing.T) {
	before := utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").With(func(c *corev1.Container) {
		c.Lifecycle = &corev1.Lifecycle{StopSignal: ptr.To(corev1.SIGUSR1)}
	})).Obj()
	p := utiltesting.MakePolicy("p").StopSignal(v1alpha1.StopSignalQUIT)
	injected := inject(p, before, byInit)
	if got := injected.Spec.Containers[0].Lifecycle; ptr.Deref(got.StopSignal, "") != corev1.SIGUSR1 || got.PreStop == nil {
		t.Errorf("lifecycle %+v", got)
	}
	want(t, injected, inject(p, injected, byInit))
}
