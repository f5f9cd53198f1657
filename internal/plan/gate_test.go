package plan_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

var gating = plan.Options{AgentImage: image, Delivery: plan.ImageVolume, ReadinessGates: true}

func holding() *utiltesting.PolicyWrapper {
	return utiltesting.MakePolicy("p").HTTP(intstr.FromString("http")).HoldsDeletions()
}

func webPod() *utiltesting.PodWrapper {
	return utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").Port("http", 8080))
}

func TestReadinessGate(t *testing.T) {
	for name, tc := range map[string]struct {
		policy *utiltesting.PolicyWrapper
		pod    *utiltesting.PodWrapper
		o      plan.Options
		want   bool
		noted  bool // that its deletion is not held, though the policy says so
	}{
		"deletions are held":                          {policy: holding(), pod: webPod(), o: gating, want: true},
		"with the breaker":                            {policy: holding(), pod: webPod(), o: plan.Options{AgentImage: image, ReadinessGates: true, SleepOnly: true}, want: true},
		"with a native sleep":                         {policy: holding().Strategy(v1alpha1.StrategySleep), pod: webPod(), o: gating, want: true},
		"without a hook":                              {policy: holding().Strategy(v1alpha1.StrategyNone), pod: webPod(), o: gating, want: true},
		"in a mesh, whose proxy lets the probe in":    {policy: holding(), pod: webPod().Container(utiltesting.MakeContainer("istio-proxy")), o: gating, want: true},
		"a port by its number, which nobody declares": {policy: utiltesting.MakePolicy("p").HTTP(intstr.FromInt32(9000)).HoldsDeletions(), pod: webPod(), o: gating, want: true},
		"terminations are held":                       {policy: holding().With(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination }), pod: webPod(), o: gating},
		"no API server has defaulted the policy":      {policy: holding().With(func(s *v1alpha1.DrainPolicySpec) { s.Gate = v1alpha1.Gate{} }), pod: webPod(), o: gating},
		"the policy observes":                         {policy: holding().Observe(), pod: webPod(), o: gating},
		"the policy is being deleted":                 {policy: holding().Deleting(time.Unix(1, 0)), pod: webPod(), o: gating},
		"no drain status that could be read from outside, which the API does not allow": {policy: utiltesting.MakePolicy("p").TCP(8080).HoldsDeletions(), pod: webPod(), o: gating},
		"the operator is not known to be alive":                                         {policy: holding(), pod: webPod(), o: byInit},
		"on the host's network":                                                         {policy: holding(), pod: webPod().With(func(s *corev1.PodSpec) { s.HostNetwork = true }), o: gating, noted: true},
		"a named port that nobody declares":                                             {policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")).HoldsDeletions(), pod: webPod(), o: gating, noted: true},
		"the same while the operator is away":                                           {policy: utiltesting.MakePolicy("p").HTTP(intstr.FromString("admin")).HoldsDeletions(), pod: webPod(), o: byInit, noted: true},
	} {
		t.Run(name, func(t *testing.T) {
			built := plan.Build(tc.policy.Obj(), tc.pod.Obj(), tc.o)
			want(t, tc.want, built.ReadinessGate)
			want(t, tc.noted, hasNote(built, plan.NoteDeletionNotHeld))
		})
	}
}

// TestReadinessGateApplied: however often and in whatever order, the gate is
// in the pod once where it is wanted, and else not at all; what others wrote stays.
func TestReadinessGateApplied(t *testing.T) {
	const ours, theirs, mesh = v1alpha1.PodInRotation, "example.com/lb", "example.com/mesh"
	type gates = []corev1.PodConditionType
	strip := func(pod *corev1.Pod) *corev1.Pod { // what people strip from a pod that they copy
		pod = pod.DeepCopy()
		pod.Labels, pod.Annotations = nil, nil
		return pod
	}
	addGate := func(pod *corev1.Pod) *corev1.Pod {
		return (&utiltesting.PodWrapper{Pod: *pod.DeepCopy()}).ReadinessGates(mesh).Obj()
	}
	live := inject(holding(), webPod().Obj(), gating)
	for name, tc := range map[string]struct {
		policy *utiltesting.PolicyWrapper
		pod    *corev1.Pod
		o      plan.Options
		want   gates
	}{
		"a new pod":                             {holding(), webPod().Obj(), gating, gates{ours}},
		"after those of its owner":              {holding(), webPod().ReadinessGates(theirs).Obj(), gating, gates{theirs, ours}},
		"a second pass":                         {holding(), live, gating, gates{ours}},
		"another webhook added one in between":  {holding(), addGate(live), gating, gates{mesh, ours}},
		"written into the template by hand":     {holding(), webPod().ReadinessGates(ours, theirs).Obj(), gating, gates{theirs, ours}},
		"twice":                                 {holding(), webPod().ReadinessGates(ours, ours).Obj(), gating, gates{ours}},
		"a copy":                                {holding(), strip(live), gating, gates{ours}},
		"a copy, while the operator is away":    {holding(), strip(live), byInit, nil},
		"a second pass, the operator just died": {holding(), live, byInit, nil},
		"a copy with its marks, another policy": {utiltesting.MakePolicy("other"), live, gating, nil},
		"a copy for another policy":             {utiltesting.MakePolicy("other"), strip(addGate(live)), gating, gates{mesh}},
		"written by hand, nobody wants it":      {utiltesting.MakePolicy("other"), webPod().ReadinessGates(theirs, ours).Obj(), gating, gates{theirs}},
	} {
		t.Run(name, func(t *testing.T) {
			before := tc.pod.DeepCopy()
			var got gates
			for _, g := range inject(tc.policy, tc.pod, tc.o).Spec.ReadinessGates {
				got = append(got, g.ConditionType)
			}
			want(t, tc.want, got)
			want(t, before, tc.pod)
		})
	}
}
