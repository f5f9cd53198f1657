package condition

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// readyPod is one with the settings of the policy "web".
func readyPod(uid string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := testobjects.MakePod("pod-"+uid).Label(v1alpha1.LabelInjected, "true").Annotation(v1alpha1.AnnotationInjectedBy, "web/1").
		Condition(corev1.PodReady, corev1.ConditionTrue).Obj()
	p.UID, p.Status.Phase = types.UID(uid), corev1.PodRunning
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func wish(since time.Time) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, drain.Wish{Kind: drain.Delete, Since: since, LastAsked: since}.Condition())
	}
}

func holdingPolicy(bound int32) *v1alpha1.DrainPolicy {
	return testobjects.MakePolicy("web").Selects("app", "web").HTTP(intstr.FromInt32(8089)).With(func(s *v1alpha1.DrainPolicySpec) {
		s.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: bound}
	}).Obj()
}

// looks at one pod after the other, every 5 s: "ok" is answered.
func looks(r Reach, readings ...string) Reach {
	for i, reading := range readings {
		got := drainstatus.Reading{State: drainstatus.Busy}
		if reading != "ok" {
			got = drainstatus.NotReadable("%s", reading)
		}
		r = r.Looked(readyPod(strconv.Itoa(i)), got, now.Add(time.Duration(i)*ReachSoon))
	}
	return r
}

func TestReachable(t *testing.T) {
	policy := func(was *metav1.Condition) *v1alpha1.DrainPolicy {
		p := holdingPolicy(540)
		if was != nil {
			p.Status.Conditions = []metav1.Condition{*was}
		}
		return p
	}
	was := func(status metav1.ConditionStatus, reason string) *metav1.Condition {
		return &metav1.Condition{Type: v1alpha1.ConditionDrainStatusReachable, Status: status, Reason: reason, Message: "as it was"}
	}
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	tests := map[string]struct {
		was    *metav1.Condition
		reach  Reach
		status metav1.ConditionStatus
		reason string
		says   string
		next   time.Duration
	}{
		"no look":                      {nil, Reach{}, unknown, "NoPodToAsk", "no pod", ReachSoon},
		"one answered":                 {nil, looks(Reach{}, "ok"), yes, "StatusAnswered", "can read", ReachLater},
		"the first fails":              {nil, looks(Reach{}, "refused"), unknown, "NoPodToAsk", "pod pod-0: refused", ReachSoon},
		"two fail":                     {nil, looks(Reach{}, "refused", "refused"), unknown, "NoPodToAsk", "pod pod-1: refused", ReachSoon},
		"three fail":                   {nil, looks(Reach{}, "a", "b", "c"), no, "StatusNotAnswered", "of pod pod-2: c", ReachSoon},
		"two fail after one":           {nil, looks(Reach{}, "ok", "a", "b"), yes, "StatusAnswered", "can read", ReachSoon},
		"three fail after one":         {nil, looks(Reach{}, "ok", "a", "b", "c"), no, "StatusNotAnswered", "of pod pod-3: c", ReachSoon},
		"answered after failures":      {nil, looks(Reach{}, "a", "b", "c", "ok"), yes, "StatusAnswered", "can read", ReachLater},
		"told once for a while":        {nil, looks(Reach{}, "a", "b", "c", "d", "e"), no, "StatusNotAnswered", "of pod pod-2: c", ReachSoon},
		"told anew after a while":      {nil, looks(Reach{}, strings.Split(strings.Repeat("a ", 14)+"z", " ")...), no, "StatusNotAnswered", "of pod pod-14: z", ReachSoon},
		"a new leader: it was":         {was(yes, "StatusAnswered"), Reach{}, yes, "StatusAnswered", "as it was", ReachSoon},
		"a new leader: it was not":     {was(no, "StatusNotAnswered"), looks(Reach{}, "a"), no, "StatusNotAnswered", "as it was", ReachSoon},
		"a new leader sees it":         {was(no, "StatusNotAnswered"), looks(Reach{}, "ok"), yes, "StatusAnswered", "can read", ReachLater},
		"what agents read says naught": {was(yes, "StatusRead"), Reach{}, unknown, "NoPodToAsk", "no pod", ReachSoon},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := reachable(Facts{Policy: policy(tc.was), Reach: tc.reach}, nil)
			if got.Type != v1alpha1.ConditionDrainStatusReachable || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s that says %q", got, tc.status, tc.reason, tc.says)
			}
			if next := tc.reach.Next(); next != tc.next {
				t.Errorf("looks again in %v, want %v", next, tc.next)
			}
		})
	}
}

// Under hold Termination the agents have to read it, and nobody else.
func TestReachableByTheAgents(t *testing.T) {
	p := testobjects.MakePolicy("web").Obj()
	recent := []v1alpha1.DrainRecord{record("1", v1alpha1.OutcomeUnknown, v1alpha1.CauseStatusUnreadable)}
	if diff := cmp.Diff(drainStatusReachable(recent), reachable(Facts{Policy: p, Reach: looks(Reach{}, "ok")}, recent)); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
}

func TestReachTells(t *testing.T) {
	tests := map[string]struct {
		before, after Reach
		want          bool
	}{
		"the first answer":       {Reach{}, looks(Reach{}, "ok"), true},
		"another answer":         {looks(Reach{}, "ok"), looks(Reach{}, "ok", "ok"), false},
		"the first failure":      {Reach{}, looks(Reach{}, "a"), true},
		"the third failure":      {looks(Reach{}, "a", "a"), looks(Reach{}, "a", "a", "a"), true},
		"the fourth failure":     {looks(Reach{}, "a", "a", "a"), looks(Reach{}, "a", "a", "a", "b"), false},
		"answered after failing": {looks(Reach{}, "a", "a", "a"), looks(Reach{}, "a", "a", "a", "ok"), true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.before.Tells(tc.after); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestPodToAsk(t *testing.T) {
	notReady := func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse }
	tests := map[string]struct {
		pods []*corev1.Pod
		last types.UID
		want string
	}{
		"none":           {nil, "", ""},
		"the first":      {[]*corev1.Pod{readyPod("b"), readyPod("a")}, "", "a"},
		"another one":    {[]*corev1.Pod{readyPod("b"), readyPod("a")}, "a", "b"},
		"round again":    {[]*corev1.Pod{readyPod("b"), readyPod("a")}, "b", "a"},
		"the only one":   {[]*corev1.Pod{readyPod("a")}, "a", "a"},
		"after one gone": {[]*corev1.Pod{readyPod("a"), readyPod("c")}, "b", "c"},
		"not ready":      {[]*corev1.Pod{readyPod("a", notReady)}, "", ""},
		"no conditions":  {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) { p.Status.Conditions = nil })}, "", ""},
		"not running":    {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending })}, "", ""},
		"terminating":    {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} })}, "", ""},
		"held":           {[]*corev1.Pod{readyPod("a", wish(now)), readyPod("b")}, "", "b"},
		"out of rotation": {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) {
			p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse})
		})}, "", ""},
		"of another policy": {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationInjectedBy] = "other/1" })}, "", ""},
		"not injected":      {[]*corev1.Pod{readyPod("a", func(p *corev1.Pod) { p.Labels = nil })}, "", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := ""
			if pod := PodToAsk(tc.pods, "web", tc.last); pod != nil {
				got = string(pod.UID)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
