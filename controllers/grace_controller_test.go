package controllers

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/observe"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// scripted answers as it is told, and keeps what it was asked.
type scripted struct {
	summary latency.Summary
	err     error
	asked   []observe.Target
}

func (s *scripted) Observe(_ context.Context, target observe.Target) (latency.Summary, error) {
	s.asked = append(s.asked, target)
	s.summary.At = target.Now
	return s.summary, s.err
}

// graceWorld is a world with someone who looks at latency.
type graceWorld struct {
	*world
	observer *scripted
	looking  *GraceReconciler
}

func newGraceWorld(t *testing.T, objects ...client.Object) *graceWorld {
	t.Helper()
	w := &graceWorld{world: newWorld(t, objects...), observer: &scripted{}}
	w.looking = &GraceReconciler{
		client: w.client, clock: w.clock, surveys: w.reconciler.surveys, looks: w.reconciler.looks, metrics: w.reconciler.graces,
		observer: func(*v1alpha1.DrainPolicy) observe.Observer { return w.observer }, period: 30 * time.Second,
	}
	return w
}

// round looks at the latency, and then works the status out.
func (w *graceWorld) round() *v1alpha1.DrainPolicy {
	w.Helper()
	w.reconciler.surveys.policiesChanged("default")
	request := ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "web"}}
	if _, err := w.looking.Reconcile(w.Context(), request); err != nil {
		w.Fatal(err)
	}
	w.mustLook()
	return w.policy()
}

// after lets time pass in rounds, with what is observed as it is.
func (w *graceWorld) after(d time.Duration) *v1alpha1.DrainPolicy {
	w.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.SetTime(w.clock.Now().Add(30 * time.Second))
		w.round()
	}
	return w.policy()
}

func seen(p99 time.Duration) latency.Summary {
	return latency.Summary{Requests: 12430, Latency: p99, Residual: p99 / 2}
}

func tunedPolicy() *v1alpha1.DrainPolicy {
	p := webPolicy()
	p.Spec.PreStop.PropagationMaxSeconds = 8
	p.Spec.GracePeriod.ShutdownSeconds = ptr.To[int32](2)
	p.Spec.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{}}
	return p
}

func observed(p *v1alpha1.DrainPolicy) string {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionLatencyObserved)
	return string(c.Status) + " " + c.Reason
}

func TestGraceFollowsTheLatency(t *testing.T) {
	w := newGraceWorld(t, tunedPolicy(), pod(1))
	w.observer.summary = seen(4100 * time.Millisecond)
	got := w.round()
	want := &v1alpha1.GraceStatus{
		Percentile: "99", LatencyMilliseconds: ptr.To[int64](4100), Requests: 12430, ObservedAt: ptr.To(metav1.NewTime(start)),
		HoldSeconds: ptr.To[int32](18), RecommendedSeconds: 20, AppliedSeconds: ptr.To[int32](30),
		Reason: "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (propagationMaxSeconds) + shutdown 2 s (given) → 20 s",
	}
	if diff := cmp.Diff(want, got.Status.GracePeriod); diff != "" {
		t.Errorf("the first look (-want +got):\n%s", diff)
	}
	if observed(got) != "True LatencySeen" {
		t.Errorf("LatencyObserved is %s", observed(got))
	}

	w.observer.summary = seen(12 * time.Second)
	if got := w.after(30 * time.Second).Status.GracePeriod.RecommendedSeconds; got != 30 {
		t.Errorf("up: at the next look %d s are recommended, want 30", got)
	}
	w.observer.summary = seen(4100 * time.Millisecond)
	if got := w.after(59 * time.Minute).Status.GracePeriod.RecommendedSeconds; got != 30 {
		t.Errorf("down: within the stabilization window %d s are recommended, want 30", got)
	}
	if got := w.after(2 * time.Minute).Status.GracePeriod.RecommendedSeconds; got != 20 {
		t.Errorf("down: after the stabilization window %d s are recommended, want 20", got)
	}
}

func TestSteadyLatencyWritesNothing(t *testing.T) {
	w := newGraceWorld(t, tunedPolicy(), pod(1))
	w.observer.summary = seen(4100 * time.Millisecond)
	w.round()
	written := len(w.statuses)
	for i := range int64(60) {
		w.observer.summary.Requests = 12430 + i
		w.after(30 * time.Second)
	}
	if n := len(w.statuses) - written; n != 0 {
		t.Errorf("%d statuses were written in half an hour, want none", n)
	}
}

func TestWhatWasRecommendedStandsWhileNothingCanBeSeen(t *testing.T) {
	w := newGraceWorld(t, tunedPolicy(), pod(1))
	w.observer.summary = seen(12 * time.Second)
	before := w.round().Status.GracePeriod
	w.observer.err = &observe.Failure{Reason: v1alpha1.ReasonSourceUnavailable, Message: "connection refused"}
	got := w.after(3 * time.Hour)
	if diff := cmp.Diff(before, got.Status.GracePeriod); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if observed(got) != "False SourceUnavailable" {
		t.Errorf("LatencyObserved is %s", observed(got))
	}
	if diff := cmp.Diff([]string{
		"Normal InjectionWorks a dry-run pod came back injected",
		"Warning SourceUnavailable connection refused; what was recommended stands",
	}, w.said()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestANewLeaderGoesOnFromTheStatus(t *testing.T) {
	w := newGraceWorld(t, tunedPolicy(), pod(1))
	w.observer.summary = seen(12 * time.Second)
	before := w.round().Status

	successor := newGraceWorld(t, w.policy(), pod(1))
	successor.clock.SetTime(start.Add(time.Minute))
	successor.mustLook() // before it has looked at any latency
	if diff := cmp.Diff(before, successor.policy().Status); diff != "" {
		t.Errorf("before its first look (-before +after):\n%s", diff)
	}
	successor.observer.summary = latency.Summary{Requests: 7, Latency: 10 * time.Millisecond}
	got := successor.round()
	if diff := cmp.Diff(before.GracePeriod.HoldSeconds, got.Status.GracePeriod.HoldSeconds); diff != "" {
		t.Errorf("with an empty window, the hold (-before +after):\n%s", diff)
	}
	if observed(got) != "False TooFewRequests" {
		t.Errorf("LatencyObserved is %s", observed(got))
	}
}

func TestOnlyRunningCoveredPodsAreLookedAt(t *testing.T) {
	pending, ending, other, finished, elsewhere := pod(2), pod(3), pod(4), pod(5), pod(6)
	pending.Status.Phase = corev1.PodPending
	ending.DeletionTimestamp, ending.Finalizers = ptr.To(metav1.NewTime(start)), []string{"test/stays"}
	other.Labels["app"] = "other"
	finished.Status.Phase = corev1.PodSucceeded // its address may be another's by now
	elsewhere.Namespace = "another"
	w := newGraceWorld(t, tunedPolicy(), pod(1), pending, ending, other, finished, elsewhere)
	w.round()
	var names []string
	for _, p := range w.observer.asked[0].Pods {
		names = append(names, p.Name)
	}
	if diff := cmp.Diff([]string{"web-001"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARemovedSourceIsLookedAtNoMore(t *testing.T) {
	w := newGraceWorld(t, tunedPolicy(), pod(1))
	w.observer.summary = seen(12 * time.Second)
	w.round()
	p := w.policy()
	p.Spec.GracePeriod.Latency = nil
	if err := w.client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	got := w.round()
	if len(w.observer.asked) != 1 {
		t.Errorf("looked %d times, want once", len(w.observer.asked))
	}
	if observed(got) != "Unknown NotAskedFor" || got.Status.GracePeriod.HoldSeconds != nil || got.Status.GracePeriod.LatencyMilliseconds != nil {
		t.Errorf("LatencyObserved is %s, grace %+v", observed(got), got.Status.GracePeriod)
	}
	if len(w.reconciler.looks.last) != 0 {
		t.Error("the look is still kept")
	}
}

func TestCeilings(t *testing.T) {
	onSpot := pod(1)
	onSpot.Spec.NodeName = "spot-1"
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "spot-1", Labels: map[string]string{"capacity": "spot"}}}
	w := newGraceWorld(t, tunedPolicy(), onSpot, node, testobjects.MakePod("elsewhere").Label("app", "web").Obj())
	w.reconciler.ceilings = condition.Ceilings{NodeRemovalSeconds: 600, Notices: []condition.Notice{{Label: "capacity", Value: "spot", Seconds: 25}}}
	w.observer.summary = seen(12 * time.Second)
	c := meta.FindStatusCondition(w.round().Status.Conditions, v1alpha1.ConditionGraceWithinCeilings)
	if c.Status != metav1.ConditionFalse || c.Reason != v1alpha1.ReasonOverSpotNotice {
		t.Errorf("30 s with a notice of 25 s: %+v", c)
	}
}
