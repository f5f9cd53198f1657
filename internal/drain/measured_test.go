package drain

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	testpods "github.com/drain-operator/drain-operator/internal/testing"
)

// A pod that was in rotation for 3.2 s, drained for 4.1 s, and got SIGTERM 7.4 s
// after its deletion.
func TestMeasured(t *testing.T) {
	endedAt := func(seconds float64) float64 { return float64(deleted.Unix()) + seconds }
	drained := hold.Result{Outcome: hold.OutcomeDrained, HeldSeconds: 7.3, RotationSeconds: 3.2, EndedUnix: endedAt(7.4)}
	changed := func(r hold.Result, change func(*hold.Result)) string {
		change(&r)
		return r.Line()
	}
	left := func(trend string) string {
		return changed(drained, func(r *hold.Result) { r.Outcome, r.InFlight, r.Trend = hold.OutcomeTimedOut, 2, trend })
	}
	serving := func(name string) *testpods.ContainerWrapper {
		return testpods.MakeContainer(name).PreStopExec(agentHook(t, hold.RoleServe)...)
	}
	following := func(name string) *testpods.ContainerWrapper {
		return testpods.MakeContainer(name).PreStopExec(agentHook(t, hold.RoleFollow)...)
	}
	type figures struct {
		Propagation, Drain, Shutdown *int32
		Trend                        v1alpha1.Trend
	}
	seen := func(propagation, drain, shutdown int32) figures {
		return figures{ptr.To(propagation), ptr.To(drain), ptr.To(shutdown), ""}
	}
	noShutdown := figures{Propagation: ptr.To[int32](4), Drain: ptr.To[int32](5)}
	one := []*testpods.ContainerWrapper{serving("app")}
	tests := map[string]struct {
		containers []*testpods.ContainerWrapper
		statuses   []corev1.ContainerStatus
		edit       func(*Ended)
		want       figures
	}{
		"drained": {one, []corev1.ContainerStatus{ended("app", 9, 0, drained.Line())}, nil, seen(4, 5, 3)},
		"the end is cut to the second in which the hold ended": {
			one, []corev1.ContainerStatus{ended("app", 7, 0, drained.Line())}, nil, seen(4, 5, 1),
		},
		"2.3 s are never taken for 2": { // 7.6 s to 9.9 s, of which the API keeps 9
			one, []corev1.ContainerStatus{ended("app", 9, 143, changed(drained, func(r *hold.Result) { r.EndedUnix = endedAt(7.6) }))},
			nil, seen(4, 5, 3),
		},
		"figures that are whole are not rounded up": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) {
				r.HeldSeconds, r.RotationSeconds, r.EndedUnix = 8.3, 5.3, endedAt(8)
			}))}, nil, seen(6, 3, 2),
		},
		"its own hook ran last, for 2 s": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.HeldSeconds, r.LastHookSeconds = 9.3, 2 }))},
			nil, seen(4, 5, 3),
		},
		"never out of rotation": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.RotationSeconds = 0 }))},
			nil, figures{Shutdown: ptr.To[int32](3)},
		},
		"an agent that does not tell when the hold ended": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.EndedUnix = 0 }))}, nil, noShutdown,
		},
		"a workload that ended before the hold": {one, []corev1.ContainerStatus{ended("app", 6, 0, drained.Line())}, nil, noShutdown},
		"the clock was put forward": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.EndedUnix = endedAt(-3600) }))}, nil, noShutdown,
		},
		"a time that nothing can make sense of": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.EndedUnix = 1e308 }))}, nil, noShutdown,
		},
		"held longer than the grace, says the workload": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.HeldSeconds = 1e9 }))}, nil, figures{},
		},
		"out of rotation after the hold, says the workload": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.RotationSeconds = 8 }))},
			nil, figures{Shutdown: ptr.To[int32](3)},
		},
		"killed": {one, []corev1.ContainerStatus{ended("app", 30, 137, drained.Line())}, nil, noShutdown},
		"killed after a longer grace that nobody saw asked for": {one, []corev1.ContainerStatus{ended("app", 60, 137, drained.Line())}, nil, noShutdown},
		"a long shutdown in a longer grace that was asked for": {
			one, []corev1.ContainerStatus{ended("app", 55, 0, drained.Line())},
			func(e *Ended) { e.GraceSeconds = ptr.To(int64(60)) }, seen(4, 5, 49),
		},
		"released by hand: it may have had requests to end": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.Outcome = hold.OutcomeSkipped }))}, nil, noShutdown,
		},
		"no line": {one, []corev1.ContainerStatus{ended("app", 9, 0, "")}, nil, figures{}},
		"the end was not observed": {
			one, []corev1.ContainerStatus{runs("app")}, func(e *Ended) { e.Missed = true }, figures{},
		},
		"two that serve: the longest of each": {
			[]*testpods.ContainerWrapper{serving("app"), serving("admin")},
			[]corev1.ContainerStatus{
				ended("app", 9, 0, drained.Line()),
				ended("admin", 12, 0, changed(drained, func(r *hold.Result) { r.HeldSeconds, r.RotationSeconds, r.EndedUnix = 6, 5, endedAt(6) })),
			}, nil, seen(5, 5, 7),
		},
		"a proxy that follows: only its shutdown counts": {
			[]*testpods.ContainerWrapper{serving("app"), following("proxy")},
			[]corev1.ContainerStatus{
				ended("app", 9, 0, drained.Line()),
				ended("proxy", 20, 0, changed(drained, func(r *hold.Result) { r.HeldSeconds, r.RotationSeconds, r.EndedUnix = 10, 0, endedAt(10) })),
			}, nil, seen(4, 5, 11),
		},
		"a proxy that was killed: the pod's shutdown is longer than the app's": {
			[]*testpods.ContainerWrapper{serving("app"), following("proxy")},
			[]corev1.ContainerStatus{ended("app", 9, 0, drained.Line()), ended("proxy", 30, 137, drained.Line())}, nil, noShutdown,
		},
		"evicted by the kubelet, drained, deleted much later": {
			one, []corev1.ContainerStatus{ended("app", -58, 0, changed(drained, func(r *hold.Result) { r.EndedUnix = endedAt(-59.5) }))},
			nil, seen(4, 5, 3),
		},
		"left, and falling": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, left(hold.TrendFalling))}, nil,
			figures{ptr.To[int32](4), ptr.To[int32](5), ptr.To[int32](3), v1alpha1.TrendFalling},
		},
		"left, and a trend that is none": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, left("Soaring"))}, nil, seen(4, 5, 3),
		},
		"falling, but nothing left, says the workload": {
			one, []corev1.ContainerStatus{ended("app", 9, 0, changed(drained, func(r *hold.Result) { r.Trend = hold.TrendFalling }))}, nil, seen(4, 5, 3),
		},
		"left in two, of which one leaks": {
			[]*testpods.ContainerWrapper{serving("app"), serving("admin")},
			[]corev1.ContainerStatus{ended("app", 9, 0, left(hold.TrendSteady)), ended("admin", 9, 0, left(hold.TrendFalling))}, nil,
			figures{ptr.To[int32](4), ptr.To[int32](5), ptr.To[int32](3), v1alpha1.TrendSteady},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := Ended{Pod: pod(tc.containers...), SeenAt: seenAt}
			e.Pod.Status.ContainerStatuses = tc.statuses
			if tc.edit != nil {
				tc.edit(&e)
			}
			r := Judge(e)
			got := figures{r.PropagationSeconds, r.DrainSeconds, r.ShutdownSeconds, r.InFlightTrend}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// How old connections were is believed as far as the pod is old.
func TestOldestLongLived(t *testing.T) {
	line := func(oldest int64) string {
		return hold.Result{Outcome: hold.OutcomeDrained, HeldSeconds: 7.3, RotationSeconds: 3.2, OldestSeconds: oldest}.Line()
	}
	const lived = 3600
	tests := map[string]struct {
		statuses []corev1.ContainerStatus
		want     *int32
	}{
		"none":                          {[]corev1.ContainerStatus{ended("app", 9, 0, line(0))}, nil},
		"one":                           {[]corev1.ContainerStatus{ended("app", 9, 0, line(1800))}, ptr.To[int32](1800)},
		"as old as its pod":             {[]corev1.ContainerStatus{ended("app", 9, 0, line(lived+1))}, ptr.To[int32](lived + 1)},
		"older than its pod":            {[]corev1.ContainerStatus{ended("app", 9, 0, line(lived+2))}, nil},
		"older than everything":         {[]corev1.ContainerStatus{ended("app", 9, 0, line(1<<62))}, nil},
		"of two containers, the oldest": {[]corev1.ContainerStatus{ended("app", 9, 0, line(7)), ended("admin", 9, 0, line(60))}, ptr.To[int32](60)},
		"of two, one that can be":       {[]corev1.ContainerStatus{ended("app", 9, 0, line(1<<40)), ended("admin", 9, 0, line(60))}, ptr.To[int32](60)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			serving := func(name string) *testpods.ContainerWrapper {
				return testpods.MakeContainer(name).PreStopExec(agentHook(t, hold.RoleServe)...)
			}
			e := Ended{Pod: pod(serving("app"), serving("admin")), SeenAt: seenAt}
			e.Pod.CreationTimestamp = metav1.NewTime(deleted.Add(-lived * time.Second))
			if e.Pod.Status.ContainerStatuses = slices.Clone(tc.statuses); len(tc.statuses) == 1 {
				e.Pod.Status.ContainerStatuses = append(e.Pod.Status.ContainerStatuses, ended("admin", 9, 0, ""))
			}
			if diff := cmp.Diff(tc.want, Judge(e).OldestLongLivedSeconds); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
