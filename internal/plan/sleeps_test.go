package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// postStartSleep makes a container sleep after its start. Seconds.
func postStartSleep(seconds int64) func(*corev1.Container) {
	return func(c *corev1.Container) {
		c.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
	}
}

// TestSleepsThatStay: the API server refuses a pod with a lifecycle sleep that
// is longer than its grace.
func TestSleepsThatStay(t *testing.T) {
	app := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("app").Port("http", 8080) }
	helper := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("helper") }
	measured := func() *utiltesting.PolicyWrapper { return utiltesting.MakePolicy("p").Measured(13, 2) }
	large := strings.Repeat("x", 16<<10-40)
	type want struct {
		Grace, Bound int64
		Capped       bool
	}
	for name, tc := range map[string]struct {
		policy *utiltesting.PolicyWrapper
		pod    *utiltesting.PodWrapper
		want   want
	}{
		"none": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app()).Grace(60),
			want: want{Grace: 15, Bound: 13},
		},
		"a native sidecar's preStop": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app()).Sidecar(helper().PreStopSleep(30)).Grace(60),
			want: want{Grace: 30, Bound: 28},
		},
		"a native sidecar's postStart": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app()).Sidecar(helper().With(postStartSleep(30))).Grace(60),
			want: want{Grace: 30, Bound: 28},
		},
		"a postStart": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app().With(postStartSleep(30))).Grace(60),
			want: want{Grace: 30, Bound: 28},
		},
		"shorter than what was measured": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app().With(postStartSleep(14))).Grace(60),
			want: want{Grace: 15, Bound: 13},
		},
		"a kept preStop that max would cut": {
			policy: measured().GraceBounds(10, 30), pod: utiltesting.MakePod("a").Container(app()).Container(helper().PreStopSleep(45)).Grace(90),
			want: want{Grace: 45, Bound: 43, Capped: true},
		},
		"the hold's own bound stands": {
			policy: measured().MaxHold(10), pod: utiltesting.MakePod("a").Container(app()).Sidecar(helper().PreStopSleep(30)).Grace(60),
			want: want{Grace: 30, Bound: 10},
		},
		"a preStop that is replaced is no sleep any more": {
			policy: measured().ExistingHook(v1alpha1.ExistingHookReplace), pod: utiltesting.MakePod("a").Container(app().PreStopSleep(45)).Grace(90),
			want: want{Grace: 15, Bound: 13},
		},
		"a native sidecar's is not replaced": {
			policy: measured().ExistingHook(v1alpha1.ExistingHookReplace), pod: utiltesting.MakePod("a").Container(app()).Sidecar(helper().PreStopSleep(45)).Grace(90),
			want: want{Grace: 45, Bound: 43},
		},
		"a preStop that is not replaced, since the record is full": {
			policy: measured().ExistingHook(v1alpha1.ExistingHookReplace),
			pod:    utiltesting.MakePod("a").Container(app().PreStopExec(large)).Container(helper().PreStopSleep(45)).Container(utiltesting.MakeContainer("last").PreStopSleep(46)).Grace(90),
			want:   want{Grace: 46, Bound: 44},
		},
		"a preStop that the agent runs first is bounded by max as any other": {
			policy: measured().ExistingHook(v1alpha1.ExistingHookRunFirst).GraceBounds(10, 30), pod: utiltesting.MakePod("a").Container(app().PreStopSleep(45)).Grace(90),
			want: want{Grace: 30, Bound: 28, Capped: true},
		},
		"no hooks are injected": {
			policy: measured().Strategy(v1alpha1.StrategyNone).ExistingHook(v1alpha1.ExistingHookReplace).GraceBounds(10, 30),
			pod:    utiltesting.MakePod("a").Container(app().PreStopSleep(45)).Grace(90),
			want:   want{Grace: 45, Bound: 43, Capped: true},
		},
		"the plan's own sleep fits": {
			policy: measured().Strategy(v1alpha1.StrategySleep), pod: utiltesting.MakePod("a").Container(app()).Grace(60),
			want: want{Grace: 15, Bound: 13},
		},
		"a pod that was never valid": {
			policy: measured(), pod: utiltesting.MakePod("a").Container(app().With(postStartSleep(1 << 62))).Grace(60),
			want: want{Grace: 60, Bound: 58},
		},
	} {
		t.Run(name, func(t *testing.T) {
			pod := tc.pod.Obj()
			planned := plan.Build(tc.policy.Obj(), pod, byInit)
			got := want{planned.GraceSeconds, planned.BoundSeconds, hasNote(planned, plan.NoteGraceCapped)}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			for _, hook := range planned.Hooks {
				checkHook(t, hook, planned.GraceSeconds)
			}
		})
	}
}
