package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/load"
)

func at(seconds float64) time.Time { return t0.Add(time.Duration(seconds * float64(time.Second))) }

type podEdit func(*corev1.Pod)

func aPod(name string, edits ...podEdit) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{}}}
	for _, e := range edits {
		e(p)
	}
	return p
}

func injected(p *corev1.Pod) { p.Labels["drain-operator.dev/injected"] = "true" }

func readyNow(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

func deleting(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: at(30)} }

func ended(code int32, message string) podEdit {
	return func(p *corev1.Pod) {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message}}}}
	}
}

func TestLives(t *testing.T) {
	drained := hold.Result{Outcome: hold.OutcomeDrained, HeldSeconds: 5}.Line()
	for name, tc := range map[string]struct {
		seen       []Observation
		terminated map[string]time.Time
		want       []Life
	}{
		"a drained pod and its successor": {
			seen: []Observation{
				{At: at(1), Pod: aPod("old", injected)},
				{At: at(2), Pod: aPod("old", injected, readyNow)},
				{At: at(10), Pod: aPod("old", injected, readyNow, deleting)},
				{At: at(11), Pod: aPod("new", injected, readyNow)},
				{At: at(17), Pod: aPod("old", injected, deleting, ended(0, "bye\n"+drained))},
				{At: at(17.5), Pod: aPod("old", injected, deleting, ended(0, drained)), Gone: true},
			},
			terminated: map[string]time.Time{"old": at(16)},
			want: []Life{
				{Name: "old", Injected: true, Ready: at(2), Deleted: at(10), Gone: at(17.5), Exited: at(17), Terminated: at(16), Outcome: "Drained"},
				{Name: "new", Injected: true, Ready: at(11)},
			},
		},
		"a workload that logs nothing": {
			seen: []Observation{
				{At: at(10), Pod: aPod("old", deleting)},
				{At: at(17), Pod: aPod("old", deleting, ended(0, drained))},
			},
			want: []Life{{Name: "old", Deleted: at(10), Terminated: at(15), Exited: at(17), Outcome: "Drained"}},
		},
		"killed, with an outcome that cannot be read": {
			seen: []Observation{
				{At: at(1), Pod: aPod("a", deleting)},
				{At: at(2), Pod: aPod("a", deleting, ended(137, hold.ResultPrefix+"nonsense"))},
			},
			want: []Life{{Name: "a", Deleted: at(1), Exited: at(2), ExitCode: 137, Outcome: "Unknown", OutcomeReason: "reading the result: invalid character 'o' in literal null (expecting 'u')"}},
		},
		"removed by force, its deletion never seen": {
			seen: []Observation{{At: at(1), Pod: aPod("a")}, {At: at(3), Pod: aPod("a"), Gone: true}},
			want: []Life{{Name: "a", Deleted: at(3), Gone: at(3)}},
		},
		"in the order of deletion": {
			seen: []Observation{{At: at(1), Pod: aPod("b")}, {At: at(1), Pod: aPod("a")}, {At: at(2), Pod: aPod("a", deleting)}, {At: at(3), Pod: aPod("b", deleting)}},
			want: []Life{{Name: "a", Deleted: at(2)}, {Name: "b", Deleted: at(3)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Lives(tc.seen, tc.terminated)); diff != "" {
				t.Errorf("lives (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHeld(t *testing.T) {
	for name, tc := range map[string]struct {
		life Life
		want time.Duration
	}{
		"not deleted":                      {Life{Ready: at(1)}, 0},
		"under way":                        {Life{Deleted: at(1)}, 0},
		"to SIGTERM where that is known":   {Life{Deleted: at(1), Terminated: at(4), Exited: at(6), Gone: at(7)}, 3 * time.Second},
		"else to the end of the container": {Life{Deleted: at(1), Exited: at(6), Gone: at(7)}, 5 * time.Second},
		"else to the end of the object":    {Life{Deleted: at(1), Gone: at(7)}, 6 * time.Second},
		"SIGTERM before the watch told":    {Life{Deleted: at(1), Terminated: at(0.9)}, 0},
	} {
		if got := tc.life.Held(); got != tc.want {
			t.Errorf("%s: held %v, want %v", name, got, tc.want)
		}
	}
}

func TestTerminationIn(t *testing.T) {
	for name, tc := range map[string]struct {
		log  string
		want time.Time
		ok   bool
	}{
		"named":        {"2026-01-02T03:04:04Z listening\n2026-01-02T03:04:06.5Z got SIGTERM\n2026-01-02T03:04:09Z SIGTERM again\n", at(1.5), true},
		"never came":   {"2026-01-02T03:04:04Z listening\n", time.Time{}, false},
		"without time": {"SIGTERM SIGTERM\n", time.Time{}, false},
		"empty":        {"", time.Time{}, false},
	} {
		if got, ok := terminationIn(strings.NewReader(tc.log)); !got.Equal(tc.want) || ok != tc.ok {
			t.Errorf("%s: %v, %t", name, got, ok)
		}
	}
}

func TestOwed(t *testing.T) {
	started := at(0)
	record := func(pod int, start, latency time.Duration) load.Record {
		return load.Record{Pod: pod, Start: start, Latency: latency}
	}
	c := Cell{Load: load.Results{StartedAt: started, Pods: []string{"", "a", "b"}, Records: []load.Record{
		record(1, 9*time.Second, 2*time.Second),           // owed: sent before, answered after
		record(1, 9*time.Second, time.Second),             // answered as SIGTERM came
		record(1, 10*time.Second, time.Second),            // sent as SIGTERM came
		record(1, time.Second, time.Second),               // long over
		record(2, 9*time.Second, 2*time.Second),           // another pod's
		record(0, 9*time.Second, 2*time.Second),           // nobody's
		record(1, 2*time.Second, 8*time.Second+time.Hour), // owed for long
	}}}
	if got := c.owed(Life{Name: "a", Terminated: at(10)}); got != 2 {
		t.Errorf("owed %d responses, want 2", got)
	}
	if got := c.owed(Life{Name: "a"}); got != 0 {
		t.Errorf("owed %d responses at a SIGTERM that was not seen", got)
	}
}
