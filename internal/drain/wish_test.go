package drain_test

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

const (
	replicaSets  = "system:serviceaccount:kube-system:replicaset-controller"
	statefulSets = "system:serviceaccount:kube-system:statefulset-controller"
)

func TestWishOf(t *testing.T) {
	condition := func(change func(*corev1.PodCondition)) *corev1.PodCondition {
		c := corev1.PodCondition{
			Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: "Evict",
			Message: `{"by":"ann","graceSeconds":5}`, LastTransitionTime: after(0), LastProbeTime: after(time.Minute),
		}
		change(&c)
		return &c
	}
	said := func(message string) *corev1.PodCondition {
		return condition(func(c *corev1.PodCondition) { c.Message = message })
	}
	wish := func(by string, grace *int64) *drain.Wish {
		return &drain.Wish{Kind: drain.Evict, By: by, GraceSeconds: grace, Since: asked, LastAsked: asked.Add(time.Minute)}
	}
	tests := map[string]struct {
		condition *corev1.PodCondition
		want      *drain.Wish
	}{
		"none":                    {nil, nil},
		"as recorded":             {condition(func(*corev1.PodCondition) {}), wish("ann", ptr.To[int64](5))},
		"no grace":                {said(`{"by":"ann"}`), wish("ann", nil)},
		"taken back":              {condition(func(c *corev1.PodCondition) { c.Status = corev1.ConditionFalse }), nil},
		"neither true nor false":  {condition(func(c *corev1.PodCondition) { c.Status = corev1.ConditionUnknown }), nil},
		"of no kind":              {condition(func(c *corev1.PodCondition) { c.Reason = "Nonsense" }), nil},
		"without a time":          {condition(func(c *corev1.PodCondition) { c.LastTransitionTime = metav1.Time{} }), nil},
		"no message":              {said(""), wish("", nil)},
		"not JSON":                {said("ann"), wish("", nil)},
		"JSON of another shape":   {said(`["ann"]`), wish("", nil)},
		"something after it":      {said(`{"by":"ann"}{`), wish("", nil)},
		"huge":                    {said(`{"by":"` + strings.Repeat("x", 1<<20) + `"}`), wish("", nil)},
		"just too long":           {said(`{"by":"` + strings.Repeat("x", 1024-9+1) + `"}`), wish("", nil)},
		"as long as can be":       {said(`{"by":"` + strings.Repeat("x", 1024-9) + `"}`), wish(strings.Repeat("x", 480), nil)},
		"not printable":           {said(`{"by":"a\u0000\u202e\nb"}`), wish("a   b", nil)},
		"a grace that would kill": {said(`{"by":"ann","graceSeconds":0}`), wish("ann", nil)},
		"a grace of less":         {said(`{"by":"ann","graceSeconds":-5}`), wish("ann", nil)},
		"a grace that is no number": {
			said(`{"by":"ann","graceSeconds":1e99}`), wish("", nil),
		},
		"never asked again": {
			condition(func(c *corev1.PodCondition) { c.LastProbeTime = metav1.Time{} }),
			&drain.Wish{Kind: drain.Evict, By: "ann", GraceSeconds: ptr.To[int64](5), Since: asked, LastAsked: asked},
		},
		"last asked before it was asked": {
			condition(func(c *corev1.PodCondition) { c.LastProbeTime = after(-time.Hour) }),
			&drain.Wish{Kind: drain.Evict, By: "ann", GraceSeconds: ptr.To[int64](5), Since: asked, LastAsked: asked},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			pod := served()
			if tc.condition != nil {
				setCondition(pod, *tc.condition)
			}
			var got *drain.Wish
			if w, ok := drain.WishOf(pod); ok {
				got = &w
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What is recorded reads back, within its bound, whoever asks.
func TestWishReadsBack(t *testing.T) {
	for name, user := range map[string]string{
		"a person":          "ann@example.com",
		"a service account": "system:serviceaccount:" + strings.Repeat("n", 63) + ":" + strings.Repeat("s", 253),
		"quotes":            strings.Repeat(`"`, 5000),
		"backslashes":       strings.Repeat(`\`, 5000),
		"markup":            strings.Repeat("<&>", 5000),
		"beyond ASCII":      strings.Repeat("é", 5000),
		"four bytes each":   "x" + strings.Repeat("😀", 5000),
		"not text":          strings.Repeat("\xff\x00", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			pod := served()
			want := drain.Wish{Kind: drain.Delete, By: user, GraceSeconds: ptr.To[int64](math.MaxInt64), Since: asked, LastAsked: asked}
			c := want.Condition()
			if len(c.Message) > 1024 || !utf8.ValidString(c.Message) {
				t.Errorf("a message of %d bytes: %q", len(c.Message), c.Message)
			}
			setCondition(pod, c)
			got, ok := drain.WishOf(pod)
			if !ok || got.By == "" || len(got.By) > 480 || len(user) <= 480 && utf8.ValidString(user) && got.By != user {
				t.Errorf("By is %q", got.By)
			}
			want.By = got.By
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The wish of several who ask one after the other, as the next refusal records
// it; nil: it stays as it is recorded.
func TestMerged(t *testing.T) {
	const aMinute, now = -time.Minute, time.Duration(0)
	recorded := func(kind drain.Kind, by string, grace *int64, last time.Duration) edit {
		return with(drain.Wish{Kind: kind, By: by, GraceSeconds: grace, Since: asked.Add(aMinute), LastAsked: asked.Add(last)}.Condition())
	}
	asks := func(kind drain.Kind, by string, grace *int64) edit {
		return func(s *drain.Snapshot) { s.Ask = drain.Ask{Kind: kind, User: by, GraceSeconds: grace} }
	}
	wish := func(kind drain.Kind, by string, grace *int64, since, last time.Duration) *drain.Wish {
		return &drain.Wish{Kind: kind, By: by, GraceSeconds: grace, Since: asked.Add(since), LastAsked: asked.Add(last)}
	}
	seconds := func(s int64) *int64 { return &s }
	var none *int64
	tests := map[string]struct {
		was, asks edit
		want      *drain.Wish
	}{
		"the first": {func(*drain.Snapshot) {}, asks(drain.Evict, "ann", none), wish(drain.Evict, "ann", nil, now, now)},
		"the first, with the pod's own grace": {
			func(*drain.Snapshot) {}, asks(drain.Delete, "ann", seconds(30)), wish(drain.Delete, "ann", nil, now, now),
		},
		"the first, with a shorter grace": {
			func(*drain.Snapshot) {}, asks(drain.Delete, "ann", seconds(5)), wish(drain.Delete, "ann", seconds(5), now, now),
		},
		"the first, with a longer grace": {
			func(*drain.Snapshot) {}, asks(drain.Evict, "ann", seconds(77)), wish(drain.Evict, "ann", seconds(77), now, now),
		},
		"the first, with a grace below 0, which is 1": {
			func(*drain.Snapshot) {}, asks(drain.Evict, "ann", seconds(-7)), wish(drain.Evict, "ann", seconds(1), now, now),
		},
		"the first, of a pod that tells no grace": {
			func(s *drain.Snapshot) { s.Pod.Spec.TerminationGracePeriodSeconds = nil }, asks(drain.Delete, "ann", seconds(30)),
			wish(drain.Delete, "ann", nil, now, now),
		},
		"after one that was taken back": {
			func(s *drain.Snapshot) {
				recorded(drain.Delete, "ann", seconds(5), now)(s)
				conditionOf(s.Pod, v1alpha1.PodDeletionRequested).Status = corev1.ConditionFalse
			},
			asks(drain.Evict, "bob", none), wish(drain.Evict, "bob", nil, now, now),
		},

		"the same, a moment ago":       {recorded(drain.Evict, "ann", none, now), asks(drain.Evict, "ann", none), nil},
		"the same, some time ago":      {recorded(drain.Evict, "ann", none, aMinute), asks(drain.Evict, "ann", none), wish(drain.Evict, "ann", nil, aMinute, now)},
		"somebody else, a moment ago":  {recorded(drain.Evict, "ann", none, now), asks(drain.Evict, "bob", none), nil},
		"somebody else, some time ago": {recorded(drain.Evict, "ann", none, aMinute), asks(drain.Evict, "bob", none), wish(drain.Evict, "bob", nil, aMinute, now)},
		"an unreadable message is kept": {func(s *drain.Snapshot) {
			recorded(drain.Evict, "ann", none, now)(s)
			conditionOf(s.Pod, v1alpha1.PodDeletionRequested).Message = "{"
		}, asks(drain.Evict, "bob", none), nil},

		"a deletion after an eviction": {recorded(drain.Evict, "ann", none, now), asks(drain.Delete, "bob", seconds(30)), wish(drain.Delete, "bob", nil, aMinute, now)},
		"a deletion by the workload after an eviction": {
			recorded(drain.Evict, "ann", none, now), asks(drain.Delete, replicaSets, seconds(30)), wish(drain.Delete, replicaSets, nil, aMinute, now),
		},
		"an eviction after a deletion, a moment ago": {recorded(drain.Delete, "ann", none, now), asks(drain.Evict, "bob", none), nil},
		"an eviction after a deletion, some time ago": {
			recorded(drain.Delete, "ann", none, aMinute), asks(drain.Evict, "bob", none), wish(drain.Delete, "ann", nil, aMinute, now),
		},
		"an eviction after a deletion by the workload, which alone wants the DELETE": {
			recorded(drain.Delete, replicaSets, none, aMinute), asks(drain.Evict, "bob", none), wish(drain.Delete, replicaSets, nil, aMinute, now),
		},
		"somebody after the workload, whose wish stays when the workload's goes": {
			recorded(drain.Delete, replicaSets, none, now), asks(drain.Delete, "ann", seconds(30)), wish(drain.Delete, "ann", nil, aMinute, now),
		},
		"the workload after somebody, a moment ago": {recorded(drain.Delete, "ann", none, now), asks(drain.Delete, statefulSets, seconds(30)), nil},
		"the workload after somebody, some time ago": {
			recorded(drain.Delete, "ann", none, aMinute), asks(drain.Delete, statefulSets, seconds(30)), wish(drain.Delete, "ann", nil, aMinute, now),
		},
		"the workload again": {
			recorded(drain.Delete, replicaSets, none, aMinute), asks(drain.Delete, replicaSets, seconds(30)), wish(drain.Delete, replicaSets, nil, aMinute, now),
		},

		"a shorter grace":                        {recorded(drain.Delete, "ann", none, now), asks(drain.Delete, "ann", seconds(5)), wish(drain.Delete, "ann", seconds(5), aMinute, now)},
		"a grace shorter than a longer one":      {recorded(drain.Delete, "ann", seconds(77), now), asks(drain.Delete, "ann", seconds(50)), wish(drain.Delete, "ann", seconds(50), aMinute, now)},
		"the pod's own after a longer one":       {recorded(drain.Evict, "ann", seconds(77), now), asks(drain.Evict, "ann", none), wish(drain.Evict, "ann", nil, aMinute, now)},
		"a longer grace changes nothing":         {recorded(drain.Delete, "ann", none, now), asks(drain.Delete, "ann", seconds(77)), nil},
		"no grace after a shorter one":           {recorded(drain.Delete, "ann", seconds(5), now), asks(drain.Delete, "ann", seconds(30)), nil},
		"an eviction with a shorter grace":       {recorded(drain.Delete, "ann", none, now), asks(drain.Evict, "bob", seconds(5)), wish(drain.Delete, "ann", seconds(5), aMinute, now)},
		"two who ask for different ones in turn": {recorded(drain.Evict, "ann", seconds(5), now), asks(drain.Evict, "bob", seconds(7)), nil},

		"last asked by a clock that is ahead": {recorded(drain.Evict, "ann", none, 20*time.Second), asks(drain.Evict, "ann", none), nil},
		"last asked in a time to come":        {recorded(drain.Evict, "ann", none, time.Hour), asks(drain.Evict, "ann", none), wish(drain.Evict, "ann", nil, aMinute, now)},
		"first asked by a clock that is ahead": {
			with(drain.Wish{Kind: drain.Evict, By: "ann", Since: asked.Add(20 * time.Second)}.Condition()), asks(drain.Evict, "ann", none), nil,
		},
		"first asked in a time to come, which would be no bound": {
			with(drain.Wish{Kind: drain.Evict, By: "ann", Since: asked.Add(time.Hour)}.Condition()), asks(drain.Evict, "ann", none),
			wish(drain.Evict, "ann", nil, now, now),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := request(tc.was, tc.asks)
			v := drain.Decide(s, asked)
			if v.Reason != drain.RefusedNotDrained {
				t.Fatalf("%+v", v)
			}
			if (v.Record != nil) != (tc.want != nil) {
				t.Fatalf("records %+v, want %+v", v.Record, tc.want)
			}
			if v.Record == nil {
				return
			}
			setCondition(s.Pod, *v.Record)
			got, ok := drain.WishOf(s.Pod)
			if diff := cmp.Diff(*tc.want, got); !ok || diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if again := drain.Decide(s, asked); again.Record != nil {
				t.Errorf("records it once more: %+v", again.Record)
			}
		})
	}
}

func TestByWorkload(t *testing.T) {
	for user, want := range map[string]bool{
		replicaSets:  true,
		statefulSets: true,
		"system:serviceaccount:kube-system:daemon-set-controller": true,
		"system:kube-controller-manager":                          true,
		"system:serviceaccount:shop:replicaset-controller":        false,
		"ann": false,
		"":    false,
	} {
		if got := (drain.Wish{By: user}).ByWorkload(); got != want {
			t.Errorf("%q: %t", user, got)
		}
	}
}

// Whatever is in a pod's conditions, there is an answer, its message is short
// and printable, and what it records is a wish.
func FuzzDecide(f *testing.F) {
	f.Add("Delete", `{"by":"ann"}`, "WaitingForRequests", "3 requests", int64(0), int64(0), int64(30), "ann")
	f.Add("Evict", "{", "", "\x00\xff", int64(-1<<62), int64(1<<62), int64(-1), "")
	f.Fuzz(func(t *testing.T, kind, message, reason, waits string, since, last, grace int64, user string) {
		s := request(outOfRotation, with(corev1.PodCondition{
			Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: kind, Message: message,
			LastTransitionTime: metav1.Unix(since, 0), LastProbeTime: metav1.Unix(last, 0),
		}), with(corev1.PodCondition{Type: v1alpha1.PodDrained, Status: corev1.ConditionFalse, Reason: reason, Message: waits}))
		s.Ask.GraceSeconds, s.Ask.User = &grace, user
		v := drain.Decide(s, asked)
		if v.Allow {
			if v.Record != nil || v.Message != "" || v.After != 0 {
				t.Fatalf("%+v", v)
			}
			return
		}
		if v.After <= 0 || v.After > 540*time.Second+drain.AskedAgain || len(v.Message) > 2048 || !utf8.ValidString(v.Message) || strings.ContainsAny(v.Message, "\n\x1b\x00") {
			t.Errorf("%+v", v)
		}
		if v.Record != nil {
			setCondition(s.Pod, *v.Record)
			if w, ok := drain.WishOf(s.Pod); !ok || w.GraceSeconds != nil && *w.GraceSeconds < 1 {
				t.Errorf("recorded %+v", w)
			}
		}
	})
}
