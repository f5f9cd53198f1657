package drain_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// A life of a pod, as the kubelet writes it: what runs, and when the condition
// Ready last changed.
func TestNothingRuns(t *testing.T) {
	ready := func(status corev1.ConditionStatus, since time.Duration) *corev1.PodCondition {
		return &corev1.PodCondition{Type: corev1.PodReady, Status: status, LastTransitionTime: after(since)}
	}
	down := func(name string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
	}
	crashed := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}}
	const minute = time.Minute
	tests := map[string]struct {
		ready      *corev1.PodCondition
		containers []corev1.ContainerStatus
		inits      []corev1.ContainerStatus
		allowed    bool
	}{
		"not scheduled":                          {allowed: true},
		"taken on, not yet started":              {ready: ready("False", -minute), containers: []corev1.ContainerStatus{down("app")}, allowed: true},
		"started, not yet ready":                 {ready: ready("False", -minute), containers: []corev1.ContainerStatus{runsSince("app", -50*time.Second)}, allowed: true},
		"started in the same second":             {ready: ready("False", -minute), containers: []corev1.ContainerStatus{runsSince("app", -minute)}, allowed: true},
		"no condition yet":                       {containers: []corev1.ContainerStatus{runsSince("app", -minute)}, allowed: true},
		"unknown, never ready":                   {ready: ready("Unknown", -2*minute), containers: []corev1.ContainerStatus{runsSince("app", -minute)}, allowed: true},
		"ready":                                  {ready: ready("True", -minute), containers: []corev1.ContainerStatus{runsSince("app", -2*minute)}},
		"ready, as if before it was started":     {ready: ready("True", -2*minute), containers: []corev1.ContainerStatus{runsSince("app", -minute)}},
		"was ready, its probe fails":             {ready: ready("False", -minute), containers: []corev1.ContainerStatus{runsSince("app", -2*minute)}},
		"was ready, its node is lost":            {ready: ready("Unknown", -minute), containers: []corev1.ContainerStatus{runsSince("app", -2*minute)}},
		"was ready, crashed":                     {ready: ready("False", -minute), containers: []corev1.ContainerStatus{crashed}, allowed: true},
		"was ready, between two starts":          {ready: ready("False", -minute), containers: []corev1.ContainerStatus{down("app")}, allowed: true},
		"was ready, started anew, not yet ready": {ready: ready("False", -2*minute), containers: []corev1.ContainerStatus{runsSince("app", -minute)}, allowed: true},
		"one of two is down":                     {ready: ready("False", -minute), containers: []corev1.ContainerStatus{runsSince("app", -2*minute), down("proxy")}},
		"one of two was started anew": {
			ready: ready("False", -2*minute), containers: []corev1.ContainerStatus{runsSince("app", -3*minute), runsSince("proxy", -minute)},
		},
		"both were started anew": {
			ready: ready("False", -3*minute), containers: []corev1.ContainerStatus{runsSince("app", -2*minute), runsSince("proxy", -minute)}, allowed: true,
		},
		"a native sidecar runs on alone": {
			ready: ready("False", -minute), containers: []corev1.ContainerStatus{down("app")}, inits: []corev1.ContainerStatus{runsSince("proxy", -2*minute)}, allowed: true,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := request(func(s *drain.Snapshot) {
				s.Pod.Status.Conditions = nil
				if tc.ready != nil {
					s.Pod.Status.Conditions = []corev1.PodCondition{*tc.ready}
				}
				s.Pod.Status.ContainerStatuses, s.Pod.Status.InitContainerStatuses = tc.containers, tc.inits
			})
			want := drain.RefusedNotDrained
			if tc.allowed {
				want = drain.AllowedNothingRuns
			}
			if got := drain.Decide(s, asked).Reason; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestMarks(t *testing.T) {
	type marks struct{ HasReadinessGate, OutOfRotation, Held bool }
	tests := map[string]struct {
		edits []edit
		want  marks
	}{
		"in rotation": {nil, marks{HasReadinessGate: true}},
		"not ours":    {[]edit{ungated}, marks{}},
		"another's gate": {[]edit{func(s *drain.Snapshot) {
			s.Pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/ready"}}
		}}, marks{}},
		"its gate was never set":   {[]edit{func(s *drain.Snapshot) { s.Pod.Status.Conditions = nil }}, marks{HasReadinessGate: true}},
		"wished, waits its turn":   {[]edit{wished}, marks{HasReadinessGate: true}},
		"out of rotation, no wish": {[]edit{outOfRotation}, marks{HasReadinessGate: true, OutOfRotation: true}},
		"held":                     {[]edit{held}, marks{HasReadinessGate: true, OutOfRotation: true, Held: true}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := request(tc.edits...).Pod
			if got := (marks{drain.HasReadinessGate(pod), drain.OutOfRotation(pod), drain.Held(pod)}); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	tests := map[string]struct {
		edit edit
		want bool
	}{
		"none":             {noPolicy, false},
		"Deletion":         {func(*drain.Snapshot) {}, true},
		"Termination":      {spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination }), false},
		"not set":          {spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = "" }), false},
		"Observe":          {spec(func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve }), false},
		"is being deleted": {func(s *drain.Snapshot) { s.Policy.DeletionTimestamp = ptr.To(after(0)) }, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := drain.Holds(request(tc.edit).Policy); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestMaxHold(t *testing.T) {
	for seconds, want := range map[int32]time.Duration{0: 540 * time.Second, -1: 540 * time.Second, 1: time.Second, 86400: 24 * time.Hour} {
		s := request(spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = seconds }))
		if got := drain.MaxHold(s.Policy); got != want {
			t.Errorf("%d: %s, want %s", seconds, got, want)
		}
	}
}
