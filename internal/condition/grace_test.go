package condition

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/grace"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/plan"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func created(ago time.Duration) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-ago)) }
}

func withGrace(seconds int64) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = ptr.To(seconds) }
}

func TestOwnGrace(t *testing.T) {
	policy := testobjects.MakePolicy("web").Obj()
	injected := webPod("injected", "", withGrace(45))
	injected = plan.Apply(plan.Build(policy, injected, plan.Options{AgentImage: agentImage, Delivery: plan.ImageVolume}), injected)
	if *injected.Spec.TerminationGracePeriodSeconds == 45 {
		t.Fatal("injection left the grace as it was: this shows nothing")
	}
	for name, tc := range map[string]struct {
		pods []*corev1.Pod
		want int64
	}{
		"no pods: the API's default":     {nil, 30},
		"one that says nothing":          {[]*corev1.Pod{webPod("a", "")}, 30},
		"the longest":                    {[]*corev1.Pod{webPod("a", "", withGrace(10)), webPod("b", "", withGrace(40))}, 40},
		"what its owner gave it":         {[]*corev1.Pod{injected}, 45},
		"shorter than the API's default": {[]*corev1.Pod{webPod("a", "", withGrace(3))}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			if got := OwnGrace(tc.pods); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestGraceStatus(t *testing.T) {
	recommended := &v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](18), RecommendedSeconds: 20, Requests: 1000, Reason: "now"}
	applied := func(s v1alpha1.GraceStatus, seconds int32) *v1alpha1.GraceStatus {
		s.AppliedSeconds = ptr.To(seconds)
		return &s
	}
	old := applied(v1alpha1.GraceStatus{HoldSeconds: ptr.To[int32](18), RecommendedSeconds: 20, Requests: 990, Reason: "before"}, 20)
	for name, tc := range map[string]struct {
		was, now   *v1alpha1.GraceStatus
		generation int64 // that the old one is of
		pods       []*corev1.Pod
		want       *v1alpha1.GraceStatus
	}{
		"the first":                         {nil, recommended, 0, nil, recommended},
		"nothing was worked out":            {old, nil, 1, nil, old},
		"nothing that anybody would notice": {old, recommended, 1, []*corev1.Pod{webPod("a", "", withGrace(20))}, old},
		"an edit that changes no figure":    {old, recommended, 0, []*corev1.Pod{webPod("a", "", withGrace(20))}, applied(*recommended, 20)},
		"another pod has another grace": {
			old, recommended, 1, []*corev1.Pod{webPod("older", "", withGrace(20), created(time.Hour)), webPod("newer", "", withGrace(35), created(time.Minute))},
			applied(*recommended, 35),
		},
		"equally new: the longest": {
			old, recommended, 1, []*corev1.Pod{webPod("a", "", withGrace(25)), webPod("b", "", withGrace(45)), webPod("c", "", withGrace(35))},
			applied(*recommended, 45),
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := testobjects.MakePolicy("web").Obj()
			p.Status.GracePeriod, p.Status.ObservedGeneration = tc.was, tc.generation
			got := graceStatus(Facts{Policy: p, Grace: tc.now, Coverage: Coverage{Covered: tc.pods}})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestLatencyObserved(t *testing.T) {
	asks := testobjects.MakePolicy("web").Obj()
	asks.Spec.GracePeriod.Latency = &v1alpha1.Latency{}
	seen := func(s latency.Summary) Look { return Look{At: now, Summary: &s} }
	known := asks.DeepCopy()
	known.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionLatencyObserved, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLatencySeen, Message: "as it was",
	}}
	justAsked := asks.DeepCopy()
	justAsked.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionLatencyObserved, Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotAskedFor, Message: "as it was",
	}}
	for name, tc := range map[string]struct {
		policy *v1alpha1.DrainPolicy
		look   Look
		want   metav1.Condition
	}{
		"no source": {
			testobjects.MakePolicy("web").Obj(), Look{},
			metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotAskedFor, Message: "spec.gracePeriod.latency names no source: the pod's own grace stands for it"},
		},
		"nobody has looked": {
			asks, Look{}, metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotYetSeen, Message: "nobody has looked yet"},
		},
		"a new leader has not looked": {
			known, Look{}, metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLatencySeen, Message: "as it was"},
		},
		"a source has just been named": {
			justAsked, Look{}, metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotYetSeen, Message: "nobody has looked yet"},
		},
		"the source failed": {
			asks, Look{At: now, Reason: v1alpha1.ReasonSourceUnavailable, Message: "connection refused"},
			metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSourceUnavailable, Message: "connection refused; what was recommended stands"},
		},
		"too few": {
			asks, seen(latency.Summary{Requests: grace.MinRequests - 1}),
			metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonTooFewRequests, Message: "fewer than 500 requests were seen in the window; what was recommended stands"},
		},
		"enough": {
			asks, seen(latency.Summary{Requests: grace.MinRequests}),
			metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLatencySeen, Message: "the latency of enough requests is seen"},
		},
		"nobody knows how many": {
			asks, seen(latency.Summary{RequestsUnknown: true}),
			metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLatencySeen, Message: "seen, on how many requests is not known: it can only make the grace longer"},
		},
		"too coarse": {
			asks, seen(latency.Summary{Requests: grace.MinRequests, TooCoarse: true, Latency: 10 * time.Second}),
			metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonHistogramTooCoarse, Message: "the percentile lies beyond the last bound of the histogram, 10s: pods get gracePeriod.maxSeconds"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.want.Type = v1alpha1.ConditionLatencyObserved
			if diff := cmp.Diff(tc.want, latencyObserved(tc.policy, tc.look)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoticeOfANode(t *testing.T) {
	c := Ceilings{Notices: []Notice{{"capacity", "spot", 120}, {"preemptible", "true", 30}, {"capacity", "cheap", 5}}}
	for name, tc := range map[string]struct {
		labels map[string]string
		want   Notice
		found  bool
	}{
		"no labels":               {nil, Notice{}, false},
		"another value":           {map[string]string{"capacity": "on-demand"}, Notice{}, false},
		"one":                     {map[string]string{"capacity": "spot"}, Notice{"capacity", "spot", 120}, true},
		"two: the shorter counts": {map[string]string{"capacity": "spot", "preemptible": "true"}, Notice{"preemptible", "true", 30}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := c.Of(tc.labels)
			if diff := cmp.Diff(tc.want, got); diff != "" || found != tc.found {
				t.Errorf("found %t (-want +got):\n%s", found, diff)
			}
		})
	}
}

func TestGraceWithinCeilings(t *testing.T) {
	removal := Ceilings{NodeRemovalSeconds: 600}
	spot := &Notice{"capacity", "spot", 120}
	for name, tc := range map[string]struct {
		recommended int32
		ceilings    Ceilings
		notice      *Notice
		status      metav1.ConditionStatus
		reason      string
		says        string
	}{
		"within":                       {600, removal, nil, metav1.ConditionTrue, v1alpha1.ReasonWithinCeilings, "not known to wait for less"},
		"longer than removal waits":    {605, removal, nil, metav1.ConditionFalse, v1alpha1.ReasonOverNodeRemoval, "is 605 s, and the cluster autoscaler waits for 600 s"},
		"nobody removes nodes":         {3600, Ceilings{}, nil, metav1.ConditionTrue, v1alpha1.ReasonWithinCeilings, "not known"},
		"within the notice":            {120, removal, spot, metav1.ConditionTrue, v1alpha1.ReasonWithinCeilings, "not known"},
		"longer than the notice":       {125, removal, spot, metav1.ConditionFalse, v1alpha1.ReasonOverSpotNotice, "labelled capacity=spot, which end 120 s after their notice"},
		"longer than both: the notice": {900, removal, spot, metav1.ConditionFalse, v1alpha1.ReasonOverSpotNotice, "notice"},
	} {
		t.Run(name, func(t *testing.T) {
			got := graceWithinCeilings(&v1alpha1.GraceStatus{RecommendedSeconds: tc.recommended}, tc.ceilings, tc.notice)
			if got.Type != v1alpha1.ConditionGraceWithinCeilings || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s: %s", got, tc.status, tc.reason, tc.says)
			}
		})
	}
}
