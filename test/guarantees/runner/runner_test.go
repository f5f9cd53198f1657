package runner

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/test/demo"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/load"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(seconds int) time.Time { return t0.Add(time.Duration(seconds) * time.Second) }

func TestEnoughIsOfEveryClient(t *testing.T) {
	l := Load{WebSockets: 10, MessageEvery: 100 * time.Millisecond} // 100 messages a second
	for name, tc := range map[string]struct {
		live load.Live
		w    Workload
		want bool
	}{
		"all":                    {load.Live{Fresh: 1000, Requests: 2000, Elapsed: 11 * time.Second}, Workload{WebSocket: true}, true},
		"fresh are missing":      {load.Live{Fresh: 999, Requests: 3000, Elapsed: time.Minute}, Workload{}, false},
		"busy are missing":       {load.Live{Fresh: 3000, Requests: 3999, Elapsed: time.Minute}, Workload{}, false},
		"messages are missing":   {load.Live{Fresh: 1000, Requests: 2000, Elapsed: 10 * time.Second}, Workload{WebSocket: true}, false},
		"no WebSockets are held": {load.Live{Fresh: 1000, Requests: 2000, Elapsed: time.Second}, Workload{}, true},
	} {
		if got := l.enough(tc.live, tc.w, 1000); got != tc.want {
			t.Errorf("%s: enough is %t", name, got)
		}
	}
}

func TestOverrun(t *testing.T) {
	l := Load{FreshPerSecond: 100, BusyConns: 4}
	for outstanding, want := range map[int]bool{0: false, 244: false, 245: true} {
		if got := l.overrun(load.Live{Outstanding: outstanding}) != nil; got != want {
			t.Errorf("%d requests under way: overrun is %t", outstanding, got)
		}
	}
	for lag, want := range map[time.Duration]bool{0: false, maxLag: false, maxLag + 1: true} {
		if got := errors.Is(late(load.Results{MaxLag: lag}), errOverrun); got != want {
			t.Errorf("requests sent %s late: overrun is %t", lag, got)
		}
	}
}

func TestLessLoad(t *testing.T) {
	l := Load{FreshPerSecond: 100, BusyConns: 4, WebSockets: 20, EventStreams: 10, MessageEvery: 100 * time.Millisecond}
	for share, want := range map[float64]Load{
		1:   l,
		0.5: {FreshPerSecond: 50, BusyConns: 2, WebSockets: 20, EventStreams: 10, MessageEvery: 200 * time.Millisecond},
		0.1: {FreshPerSecond: 10, BusyConns: 2, WebSockets: 20, EventStreams: 10, MessageEvery: time.Second},
	} {
		if diff := cmp.Diff(want, l.at(share)); diff != "" {
			t.Errorf("at %.1f (-want +got):\n%s", share, diff)
		}
	}
}

func TestLoadIsWhatTheServerServes(t *testing.T) {
	l := DefaultLoad()
	key := guarantees.Key{Server: "go", Event: guarantees.Rollout}
	none, both := l.config(key, Workload{}, "10.0.0.7:80"), l.config(key, Workload{WebSocket: true, EventStream: true}, "10.0.0.7:80")
	if none.WebSockets != 0 || none.EventStreams != 0 || both.WebSockets != l.WebSockets || both.EventStreams != l.EventStreams {
		t.Errorf("long-lived connections are %+v and %+v", none, both)
	}
	if none.Target != "http://10.0.0.7:80/work" || none.Seed != both.Seed {
		t.Errorf("target %s, seeds %d and %d", none.Target, none.Seed, both.Seed)
	}
	if other := l.config(guarantees.Key{Server: "node"}, Workload{}, "10.0.0.7:80"); other.Seed == none.Seed {
		t.Error("two cells have the same requests")
	}
}

func TestEndsAreThoseUnderLoad(t *testing.T) {
	before := demo.Life{Name: "before", Injected: true, Deleted: at(1), Gone: at(5)}
	stays := demo.Life{Name: "stays", Injected: true, Ready: at(2)}
	drained := demo.Life{Name: "drained", Injected: true, Deleted: at(10), Terminated: at(17), Gone: at(18), Outcome: "Drained"}
	killed := demo.Life{Name: "killed", Injected: true, Deleted: at(11), Terminated: at(19), Gone: at(30), Outcome: "TimedOut", ExitCode: 137}
	plain := demo.Life{Name: "plain", Deleted: at(12), Exited: at(13), Gone: at(14)}
	for name, tc := range map[string]struct {
		lives   []demo.Life
		covered bool
		want    []guarantees.End
		fails   bool
	}{
		"with hooks":                   {[]demo.Life{before, drained, killed, stays}, true, []guarantees.End{{Held: 7 * time.Second, Outcome: "Drained"}, {Held: 8 * time.Second, Outcome: "TimedOut", Killed: true}}, false},
		"without":                      {[]demo.Life{plain, stays}, false, []guarantees.End{{Held: time.Second}}, false},
		"one without where all should": {[]demo.Life{drained, plain}, true, nil, true},
		"none":                         {[]demo.Life{before, stays}, true, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := endsOf(tc.lives, at(9), tc.covered)
			if (err != nil) != tc.fails {
				t.Errorf("error is %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ends (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOldestThatServes(t *testing.T) {
	pod := func(name string, created int, ready corev1.ConditionStatus, deleted bool) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(at(created))}}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
		if deleted {
			p.DeletionTimestamp = &p.CreationTimestamp
		}
		return p
	}
	pods := []*corev1.Pod{
		pod("goes", 1, corev1.ConditionTrue, true), pod("not ready", 2, corev1.ConditionFalse, false),
		pod("young", 9, corev1.ConditionTrue, false), pod("old", 3, corev1.ConditionTrue, false),
	}
	if got := oldest(pods); got == nil || got.Name != "old" {
		t.Errorf("the oldest is %v", got)
	}
	if got := oldest(pods[:2]); got != nil {
		t.Errorf("%s serves", got.Name)
	}
}

func TestSplit(t *testing.T) {
	up, down := guarantees.Ground{Server: "go", Operator: guarantees.Up}, guarantees.Ground{Server: "go", Operator: guarantees.Down}
	gotUp, gotDown := split([]guarantees.Ground{down, up, down})
	if diff := cmp.Diff([]guarantees.Ground{up}, gotUp); diff != "" {
		t.Errorf("up (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]guarantees.Ground{down, down}, gotDown); diff != "" {
		t.Errorf("down (-want +got):\n%s", diff)
	}
}
