package demo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/load"
)

const fakeReason = "P99 5 s over 1 min (8,390 requests) + 50 % → 7.5 s; requests in flight still need 10 s at P99 → 10 s; + propagation 6 s (propagationMaxSeconds) + shutdown 2 s (given) → 20 s (was 38 s)"

// fakeGraceCell is a cell as a run would leave it: a restart and a drain of 4
// pods each, one of which takes all of its grace.
func fakeGraceCell(s Setting, grace int64, cut int) GraceCell {
	rng := rand.New(rand.NewPCG(2, uint64(grace)))
	hangs := time.Duration(grace) * time.Second
	c := GraceCell{Setting: s, Cell: Cell{Load: load.Results{Pods: []string{""}, StartedAt: t0, Elapsed: 55 * time.Second}}}
	for at := time.Duration(0); at < 44*time.Second; at += time.Duration(rng.ExpFloat64() * 7e6) {
		c.Load.Records = append(c.Load.Records, load.Record{Start: at, Latency: time.Duration(300+rng.IntN(3000)) * time.Millisecond})
	}
	restart, drain := t0.Add(6*time.Second), t0.Add(44*time.Second)
	for i := range 8 {
		deleted := restart.Add(time.Duration(2*i+2) * time.Second)
		if i >= 4 {
			deleted = drain.Add(300 * time.Millisecond)
		}
		l := Life{
			Name: fmt.Sprintf("%s-%d", s, i), Injected: true, Grace: grace, Outcome: hold.OutcomeDrained, Deleted: deleted,
			Terminated: deleted.Add(min(hangs-2*time.Second, 6*time.Second)), Gone: deleted.Add(min(hangs, 6400*time.Millisecond)),
		}
		if i%4 == 0 {
			l.Outcome, l.Terminated, l.Gone = hold.OutcomeTimedOut, deleted.Add(hangs-2*time.Second), deleted.Add(hangs)
			c.Hung = append(c.Hung, l.Name)
		}
		c.Lives = append(c.Lives, l)
		for range cut {
			c.Load.Records = append(c.Load.Records, load.Record{Start: l.Gone.Add(-3 * time.Second).Sub(t0), Latency: 3 * time.Second, Cause: load.Reset})
		}
	}
	c.Restarts = []Restart{{Start: restart, Complete: restart.Add(9 * time.Second), Last: restart.Add(2*time.Second + hangs)}}
	c.Drain = NodeDrain{Start: drain, Done: drain.Add(700*time.Millisecond + hangs)}
	return c
}

func fakeGrace() []GraceCell {
	tuned := fakeGraceCell(Tuned, 20, 0)
	tuned.Observed = "True"
	tuned.Recommended = []v1alpha1.GraceStatus{{RecommendedSeconds: 38}, {RecommendedSeconds: 20, HoldSeconds: ptr.To[int32](18), Reason: fakeReason}}
	tuned.Learning = Learning{Took: 70 * time.Second, Served: 45 * time.Second, Restarts: 1, Load: tally(9800, 0), P99: 4600 * time.Millisecond}
	return []GraceCell{fakeGraceCell(Usual, 30, 0), fakeGraceCell(Short, 5, 2), tuned}
}

func TestGraceFigures(t *testing.T) {
	got := fakeGrace()[2].GraceFigures()
	if got.Rollout.Requests < 4000 || got.Draining.Requests < 100 || got.All().Failed() > 0 {
		t.Errorf("requests until the drain %+v, from then on %+v", got.Rollout, got.Draining)
	}
	got.Rollout, got.Draining = load.Tally{}, load.Tally{}
	want := GraceFigures{
		Setting: Tuned, Least: 20, Most: 20,
		Complete: 9 * time.Second, LastGone: 22 * time.Second, NodeDrained: 20700 * time.Millisecond,
		Took:   Spread{6400 * time.Millisecond, 6400 * time.Millisecond, 6400 * time.Millisecond},
		Hung:   Spread{20 * time.Second, 20 * time.Second, 20 * time.Second},
		Drains: 8, Injected: 8, Hanging: 2, Measured: 8,
		Outcomes: map[string]int{"Drained": 6, "TimedOut": 2},
		Learning: Learning{Took: 70 * time.Second, Served: 45 * time.Second, Restarts: 1, Load: tally(9800, 0), P99: 4600 * time.Millisecond},
		Because:  &v1alpha1.GraceStatus{RecommendedSeconds: 20, HoldSeconds: ptr.To[int32](18), Reason: fakeReason},
		Observed: "True",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
	if got := fakeGrace()[1].GraceFigures(); got.Rollout.Failed() != 8 || got.Draining.Failed() != 8 {
		t.Errorf("cut in the rollout %d, in the drain %d, want 8 each", got.Rollout.Failed(), got.Draining.Failed())
	}
}

func TestJudgeGrace(t *testing.T) {
	const usual, short, tuned = 0, 1, 2
	for name, tc := range map[string]struct {
		edit func([]GraceFigures) []GraceFigures
		want []string
	}{
		"everything holds": {
			edit: func(c []GraceFigures) []GraceFigures { return c },
		},
		"the default cuts some, too": {
			edit: func(c []GraceFigures) []GraceFigures { c[usual].Rollout = tally(5000, 1); return c },
		},
		"a demo that notices nothing": {
			edit: func(c []GraceFigures) []GraceFigures {
				c[short].Rollout, c[short].Draining = tally(5000, 0), tally(100, 0)
				return c
			},
			want: []string{"grace too short, 5 s: none of 5,100 requests was cut: the demo does not notice"},
		},
		"one cut with the tuned grace in the rollout": {
			edit: func(c []GraceFigures) []GraceFigures { c[tuned].Rollout = tally(5000, 1); return c },
			want: []string{"grace tuned, 20 s: 1 of 5,300 requests were cut"},
		},
		"one cut with the tuned grace in the drain": {
			edit: func(c []GraceFigures) []GraceFigures { c[tuned].Draining = tally(300, 1); return c },
			want: []string{"grace tuned, 20 s: 1 of 5,300 requests were cut"},
		},
		"too few requests": {
			edit: func(c []GraceFigures) []GraceFigures { c[tuned].Rollout = tally(2000, 0); return c },
			want: []string{"grace tuned, 20 s: 2,300 requests are too few to tell, at least 3,000 are needed"},
		},
		"a tuned grace that nobody measured": {
			edit: func(c []GraceFigures) []GraceFigures { c[tuned].Measured = 7; return c },
			want: []string{"grace tuned, 20 s: only 7 of 8 pods had a grace that the operator had worked out from measurements"},
		},
		"latency that is no longer seen": {
			edit: func(c []GraceFigures) []GraceFigures { c[tuned].Observed = "False"; return c },
			want: []string{`grace tuned, 20 s: LatencyObserved was "False" when the drain of the node began`},
		},
		"a tuned grace that is longer than the default": {
			edit: func(c []GraceFigures) []GraceFigures {
				c[tuned].Least, c[tuned].Most, c[tuned].LastGone, c[tuned].NodeDrained = 40, 40, 42*time.Second, 41*time.Second
				return c
			},
			want: []string{
				"grace tuned, 40 s: with a pod that hangs, the last old pod of the rollout was gone after 42.0 s, no sooner than with the default, after 32.0 s",
				"grace tuned, 40 s: with a pod that hangs, the node was drained after 41.0 s, no sooner than with the default, after 30.7 s",
			},
		},
		"nothing hung": {
			edit: func(c []GraceFigures) []GraceFigures { c[usual].Hanging = 1; return c },
			want: []string{"grace default, 30 s: 1 pods hung, not one in the rollout and one in the drain of the node"},
		},
		"a pod that no policy held": {
			edit: func(c []GraceFigures) []GraceFigures { c[short].Injected = 7; return c },
			want: []string{"grace too short, 5 s: only 7 of 8 pods were injected"},
		},
		"a drain that drained nothing": {
			edit: func(c []GraceFigures) []GraceFigures {
				c[tuned].Drains, c[tuned].Injected, c[tuned].Measured = 4, 4, 4
				return c
			},
			want: []string{"grace tuned, 20 s: 4 pods were seen to go, not 8"},
		},
		"one is missing": {
			edit: func(c []GraceFigures) []GraceFigures { return c[short:] },
			want: []string{"the grace period: not all of default, too short and tuned were run"},
		},
		"nothing": {
			edit: func([]GraceFigures) []GraceFigures { return nil },
			want: []string{"the grace period: not all of default, too short and tuned were run"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var figures []GraceFigures
			for _, c := range fakeGrace() {
				f := c.GraceFigures()
				f.Rollout.Requests, f.Draining.Requests = 5000, 300
				f.Rollout.ByCause[load.Answered] = 5000 - f.Rollout.ByCause[load.Reset]
				f.Draining.ByCause[load.Answered] = 300 - f.Draining.ByCause[load.Reset]
				figures = append(figures, f)
			}
			v := JudgeGrace(tc.edit(figures), 4, 3000)
			if diff := cmp.Diff(tc.want, v.Failed); diff != "" {
				t.Errorf("failed claims (-want +got):\n%s", diff)
			}
			if v.OK != (len(tc.want) == 0) || v.OK && len(v.Proven) != 5 {
				t.Errorf("OK is %v with %d failed claims; proven: %q", v.OK, len(v.Failed), v.Proven)
			}
		})
	}
}

func TestGraceTable(t *testing.T) {
	var out bytes.Buffer
	var figures []GraceFigures
	for _, c := range fakeGrace() {
		figures = append(figures, c.GraceFigures())
	}
	if err := WriteGraceTable(&out, figures); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || lines[4] != "tuned: "+fakeReason || !strings.HasSuffix(lines[5], " 4.6 s") {
		t.Fatalf("the table is\n%s", out.String())
	}
	out.Reset()
	figures[0].Late = 3 * time.Second
	if err := WriteGraceTable(&out, figures); err != nil || !strings.Contains(out.String(), "\nThe machine was overrun: requests were sent up to 3.0 s late.") {
		t.Errorf("%v; requests that were sent late are not told:\n%s", err, out.String())
	}
	for i, want := range []string{"default, 30 s", "too short, 5 s", "tuned, 20 s"} {
		if !strings.HasPrefix(lines[i+1], want+" ") {
			t.Errorf("row %d is %q, want that of %s", i+1, lines[i+1], want)
		}
	}
	for _, want := range []string{"16 reset", "9.0 s", "7.0 s", "5.7 s", "6 Drained, 2 TimedOut"} {
		if !strings.Contains(lines[2], want) {
			t.Errorf("%q lacks %s", lines[2], want)
		}
	}
}

func TestAdvice(t *testing.T) {
	says := func(seconds int32, hold *int32, status metav1.ConditionStatus, reason string) *v1alpha1.DrainPolicy {
		return &v1alpha1.DrainPolicy{Status: v1alpha1.DrainPolicyStatus{
			GracePeriod: &v1alpha1.GraceStatus{RecommendedSeconds: seconds, HoldSeconds: hold},
			Conditions:  []metav1.Condition{{Type: v1alpha1.ConditionLatencyObserved, Status: status, Reason: reason}},
		}}
	}
	var a advice
	for _, step := range []struct {
		policy   *v1alpha1.DrainPolicy
		measured int64
		words    string
		known    int
	}{
		{&v1alpha1.DrainPolicy{}, 0, "", 0},
		{says(20, nil, "False", "TooFewRequests"), 0, "TooFewRequests", 1},
		{says(20, ptr.To[int32](18), "False", "TooFewRequests"), 0, "TooFewRequests", 2},
		{says(20, ptr.To[int32](18), "True", "LatencySeen"), 20, "20 s recommended", 2},
		{says(25, ptr.To[int32](23), "True", "LatencySeen"), 25, "25 s recommended", 3},
		{says(20, ptr.To[int32](17), "True", "LatencySeen"), 20, "20 s recommended", 3},
	} {
		a.take(step.policy)
		grace, _ := a.all()
		if a.measured() != step.measured || a.words() != step.words || len(grace) != step.known {
			t.Errorf("after %+v: %d, %q, %d recommendations, want %d, %q, %d", step.policy.Status, a.measured(), a.words(), len(grace), step.measured, step.words, step.known)
		}
	}
	if grace, _ := a.all(); *grace[1].HoldSeconds != 17 {
		t.Errorf("of 20 s it was said last that %d s are for the hold, kept is another", *grace[1].HoldSeconds)
	}
}

func TestP99(t *testing.T) {
	var records []load.Record
	for i := range 1000 {
		records = append(records, load.Record{Latency: time.Duration(1000-i) * time.Millisecond})
	}
	records = append(records, load.Record{Latency: time.Hour, Cause: load.TimedOut})
	if got := p99(records); got != 990*time.Millisecond {
		t.Errorf("the P99 of 1 ms to 1 s is %s", got)
	}
	if got := p99(records[1000:]); got != 0 {
		t.Errorf("the P99 of nothing is %s", got)
	}
}
