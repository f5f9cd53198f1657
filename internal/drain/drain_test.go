package drain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	testpods "github.com/drain-operator/drain-operator/internal/testing"
)

var (
	deleted = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seenAt  = deleted.Add(100 * time.Second)
)

func at(seconds int) metav1.Time {
	return metav1.NewTime(deleted.Add(time.Duration(seconds) * time.Second))
}

func agentHook(t *testing.T, role hold.Role) []string {
	t.Helper()
	command, err := hold.Spec{Role: role, ReleaseWhen: hold.ReleaseWhenDrained, BoundSeconds: 25}.Command()
	if err != nil {
		t.Fatal(err)
	}
	return command
}

// pod is deleted with its own grace of 30 s; the kubelet's last deletion has
// set its grace to 0, and deletionTimestamp to the time of the deletion.
func pod(containers ...*testpods.ContainerWrapper) *corev1.Pod {
	w := testpods.MakePod("web-1").Grace(30)
	for _, c := range containers {
		w.Container(c)
	}
	p := w.Obj()
	p.UID = types.UID("uid-1")
	p.Spec.NodeName = "node-1"
	p.DeletionTimestamp = ptr.To(at(0))
	p.DeletionGracePeriodSeconds = ptr.To(int64(0))
	return p
}

// ended is a container that ended so many seconds after the deletion.
func ended(name string, seconds int, exitCode int32, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: exitCode, StartedAt: at(-600), FinishedAt: at(seconds), Message: message,
	}}}
}

func reason(s corev1.ContainerStatus, reason string) corev1.ContainerStatus {
	s.State.Terminated.Reason = reason
	return s
}

func runs(name string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(-600)}}}
}

func line(outcome string, inFlight int64, reason string) string {
	return hold.Result{Outcome: outcome, HeldSeconds: 6.5, InFlight: inFlight, Reason: reason}.Line()
}

func record(outcome v1alpha1.Outcome, cause v1alpha1.Cause, reason string, duration int32, end metav1.Time) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{
		Pod: "web-1", UID: "uid-1", Outcome: outcome, Cause: cause, Reason: reason, DurationSeconds: duration, EndedAt: end,
	}
}

func TestJudge(t *testing.T) {
	agent := func(name string) *testpods.ContainerWrapper {
		return testpods.MakeContainer(name).PreStopExec(agentHook(t, hold.RoleServe)...)
	}
	follower := func(name string) *testpods.ContainerWrapper {
		return testpods.MakeContainer(name).PreStopExec(agentHook(t, hold.RoleFollow)...)
	}
	logsOnError := func(c *testpods.ContainerWrapper) *testpods.ContainerWrapper {
		return c.With(func(c *corev1.Container) { c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError })
	}
	tests := map[string]struct {
		pod      *corev1.Pod
		statuses []corev1.ContainerStatus
		edit     func(*Ended)
		want     v1alpha1.DrainRecord
	}{
		"the agent's word: drained": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, line(hold.OutcomeDrained, 0, ""))},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"the workload wrote a message before the agent's line": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, "goodbye\n"+line(hold.OutcomeDrained, 0, ""))},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"the agent's word: bound reached, three left": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 26, 143, line(hold.OutcomeTimedOut, 3, "3 in flight"))},
			want: v1alpha1.DrainRecord{
				Pod: "web-1", UID: "uid-1", Outcome: v1alpha1.OutcomeTimedOut, Cause: v1alpha1.CauseBoundReached,
				Reason: "3 in flight", DurationSeconds: 26, InFlight: 3, EndedAt: at(26),
			},
		},
		"the agent's word: released by hand": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 4, 0, line(hold.OutcomeSkipped, 0, "released by hand"))},
			want:     record(v1alpha1.OutcomeSkipped, v1alpha1.CauseReleased, "released by hand", 4, at(4)),
		},
		"the agent's word: status unreadable": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 12, 0, line(hold.OutcomeUnknown, 0, "connection refused"))},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable, "connection refused", 12, at(12)),
		},
		"a line that cannot be read": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, hold.ResultPrefix+`{"outcome":"Perfect"}`)},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseResultUnreadable, `unknown outcome "Perfect"`, 7, at(7)),
		},
		"bytes of a workload in a reason are made printable": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, hold.ResultPrefix+`{"outcome":"Unknown","reason":"a\u001b[31mb"}`)},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable, "a [31mb", 7, at(7)),
		},
		"killed, and the final deletion has moved deletionTimestamp to its own time": {
			pod: func() *corev1.Pod {
				p := pod(agent("app"))
				p.DeletionTimestamp = ptr.To(at(31))
				return p
			}(),
			statuses: []corev1.ContainerStatus{ended("app", 30, 137, line(hold.OutcomeDrained, 0, ""))},
			edit:     func(e *Ended) { e.DeletedAt = deleted },
			want: record(v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent,
				"the grace of 30 s was spent; the hold had ended after 7 s: Drained", 30, at(30)),
		},
		"drained, then killed because it ignores SIGTERM": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 30, 137, line(hold.OutcomeDrained, 0, ""))},
			want: record(v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent,
				"the grace of 30 s was spent; the hold had ended after 7 s: Drained", 30, at(30)),
		},
		"an app that always exits with 137, early": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 8, 137, line(hold.OutcomeDrained, 0, ""))},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 8, at(8)),
		},
		"killed before the hold ended: no line": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 32, 137, "")},
			want:     record(v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent, "the grace of 30 s was spent", 32, at(32)),
		},
		"a shorter grace was asked for, and the app ended on SIGTERM": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 5, 143, "")},
			edit:     func(e *Ended) { e.GraceSeconds = ptr.To(int64(5)) },
			want:     record(v1alpha1.OutcomeForced, v1alpha1.CauseShorterGrace, "a grace of 5 s was asked for, the pod has 30 s", 5, at(5)),
		},
		"a shorter grace was asked for, and was enough": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, line(hold.OutcomeDrained, 0, ""))},
			edit:     func(e *Ended) { e.GraceSeconds = ptr.To(int64(20)) },
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"an eviction asked for a longer grace": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 35, 137, line(hold.OutcomeDrained, 0, ""))},
			edit:     func(e *Ended) { e.GraceSeconds = ptr.To(int64(60)) },
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 35, at(35)),
		},
		"the API server has not been told of the end yet: grace in the object": {
			pod: func() *corev1.Pod {
				p := pod(agent("app"))
				p.DeletionTimestamp, p.DeletionGracePeriodSeconds = ptr.To(at(30)), ptr.To(int64(30))
				return p
			}(),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, line(hold.OutcomeDrained, 0, ""))},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"no line because it drained and falls back to logs": {
			pod:      pod(logsOnError(agent("app"))),
			statuses: []corev1.ContainerStatus{ended("app", 7, 143, "last words in the log")},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"falls back to logs, and was killed": {
			pod:      pod(logsOnError(agent("app"))),
			statuses: []corev1.ContainerStatus{ended("app", 31, 137, "")},
			want:     record(v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent, "the grace of 30 s was spent", 31, at(31)),
		},
		"falls back to logs, and the hook failed": {
			pod:      pod(logsOnError(agent("app"))),
			statuses: []corev1.ContainerStatus{ended("app", 1, 0, "")},
			edit:     func(e *Ended) { e.FailedHooks = map[string]bool{"app": true} },
			want:     record(v1alpha1.OutcomeSkipped, v1alpha1.CauseHookFailed, "the hook could not be run (event FailedPreStopHook)", 1, at(1)),
		},
		"the hook was cut off with its container, which the kubelet calls failed, too": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 2, 137, "")},
			edit: func(e *Ended) {
				e.GraceSeconds, e.FailedHooks = ptr.To(int64(2)), map[string]bool{"app": true}
			},
			want: record(v1alpha1.OutcomeForced, v1alpha1.CauseShorterGrace, "a grace of 2 s was asked for, the pod has 30 s", 2, at(2)),
		},
		"the hook failed and left a line": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 26, 0, line(hold.OutcomeTimedOut, 0, "bound"))},
			edit:     func(e *Ended) { e.FailedHooks = map[string]bool{"app": true} },
			want:     record(v1alpha1.OutcomeTimedOut, v1alpha1.CauseBoundReached, "bound", 26, at(26)),
		},
		"out of memory during the hold": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{reason(ended("app", 3, 137, ""), "OOMKilled")},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseOutOfMemory, "the container ran out of memory during its hold", 3, at(3)),
		},
		"the app ended by itself during the hold": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 3, 1, "")},
			want: record(v1alpha1.OutcomeUnknown, v1alpha1.CauseEndedByItself,
				"the container ended by itself after 3 s with exit code 1, before its hold did", 3, at(3)),
		},
		"the kubelet lost the container": {
			pod: pod(agent("app")),
			statuses: []corev1.ContainerStatus{{Name: "app", RestartCount: 1, State: corev1.ContainerState{
				Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown"}}}},
			want: record(v1alpha1.OutcomeUnknown, v1alpha1.CauseEndNotObserved, "the kubelet lost track of the container", 0, metav1.NewTime(seenAt)),
		},
		"the container had ended before the deletion": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", -60, 1, "")},
			want: v1alpha1.DrainRecord{
				Pod: "web-1", UID: "uid-1", Outcome: v1alpha1.OutcomeSkipped, Cause: v1alpha1.CauseNothingRan,
				Reason: "the container was not running when the deletion came", EndedAt: metav1.NewTime(seenAt),
			},
		},
		"two that serve: the worst counts, and the most in flight": {
			pod: pod(agent("app"), agent("admin")),
			statuses: []corev1.ContainerStatus{
				ended("app", 26, 0, line(hold.OutcomeTimedOut, 2, "2 in flight")),
				ended("admin", 7, 0, line(hold.OutcomeUnknown, 5, "no answer")),
			},
			want: v1alpha1.DrainRecord{
				Pod: "web-1", UID: "uid-1", Outcome: v1alpha1.OutcomeTimedOut, Cause: v1alpha1.CauseBoundReached,
				Reason: "app: 2 in flight", DurationSeconds: 26, InFlight: 5, EndedAt: at(26),
			},
		},
		"a proxy that follows does not count, but its end does": {
			pod: pod(agent("app"), follower("proxy")),
			statuses: []corev1.ContainerStatus{
				ended("app", 7, 0, line(hold.OutcomeDrained, 0, "")),
				ended("proxy", 9, 0, line(hold.OutcomeTimedOut, 0, "still listening")),
			},
			want: record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 9, at(9)),
		},
		"held by the native sleep hook": {
			pod:      pod(testpods.MakeContainer("app").PreStopSleep(30)),
			statuses: []corev1.ContainerStatus{ended("app", 20, 143, "")},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseNoStatus, "a sleep hook of 30 s held the pod: nobody read a drain status", 20, at(20)),
		},
		"the container's own hook was kept, and it was killed": {
			pod:      pod(testpods.MakeContainer("app").PreStopExec("/bin/sleep", "100")),
			statuses: []corev1.ContainerStatus{ended("app", 32, 137, "")},
			want:     record(v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent, "the grace of 30 s was spent", 32, at(32)),
		},
		"no hook": {
			pod:      pod(testpods.MakeContainer("app")),
			statuses: []corev1.ContainerStatus{ended("app", 1, 0, "")},
			want:     record(v1alpha1.OutcomeSkipped, v1alpha1.CauseNoHook, "the pod has no preStop hook", 1, at(1)),
		},
		"never started": {
			pod: pod(agent("app")),
			statuses: []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{
				Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}}},
			want: record(v1alpha1.OutcomeSkipped, v1alpha1.CauseNothingRan, "no container had started", 0, metav1.NewTime(seenAt)),
		},
		"never scheduled": {
			pod:  pod(agent("app")),
			want: record(v1alpha1.OutcomeSkipped, v1alpha1.CauseNothingRan, "no container had started", 0, metav1.NewTime(seenAt)),
		},
		"force-deleted while it ran": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{runs("app")},
			want: record(v1alpha1.OutcomeForced, v1alpha1.CauseForceDeleted,
				"the object was deleted with a grace of 0 while containers were running", 0, metav1.NewTime(seenAt)),
		},
		"missed while it ran": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{runs("app")},
			edit:     func(e *Ended) { e.Missed = true },
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseEndNotObserved, "the pod's last state was not seen", 0, metav1.NewTime(seenAt)),
		},
		"missed before it was seen to start": {
			pod:  pod(agent("app")),
			edit: func(e *Ended) { e.Missed = true },
			want: record(v1alpha1.OutcomeUnknown, v1alpha1.CauseEndNotObserved, "the pod's last state was not seen", 0, metav1.NewTime(seenAt)),
		},
		"deletion missed, but the final status was seen": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", 7, 0, line(hold.OutcomeDrained, 0, ""))},
			edit:     func(e *Ended) { e.Missed = true },
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(7)),
		},
		"the node is gone": {
			pod: func() *corev1.Pod {
				p := pod(agent("app"))
				p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByPodGC"}}
				return p
			}(),
			statuses: []corev1.ContainerStatus{runs("app")},
			want:     record(v1alpha1.OutcomeUnknown, v1alpha1.CauseNodeLost, "the node is gone: node-1", 0, metav1.NewTime(seenAt)),
		},
		"evicted by the kubelet, drained, deleted much later": {
			pod:      pod(agent("app")),
			statuses: []corev1.ContainerStatus{ended("app", -60, 0, line(hold.OutcomeDrained, 0, ""))},
			want:     record(v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded, "", 7, at(-60)),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.pod.Status.ContainerStatuses = tc.statuses
			e := Ended{Pod: tc.pod, SeenAt: seenAt}
			if tc.edit != nil {
				tc.edit(&e)
			}
			if diff := cmp.Diff(tc.want, Judge(e)); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNotObserved(t *testing.T) {
	got := NotObserved(v1alpha1.DrainingPod{Name: "web-1", UID: "uid-1", Since: at(0)}, seenAt)
	want := record(v1alpha1.OutcomeUnknown, v1alpha1.CauseEndNotObserved,
		"the pod went while no replica of the operator was watching", 0, metav1.NewTime(seenAt))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
}
