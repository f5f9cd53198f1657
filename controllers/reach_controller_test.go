package controllers

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

func holdingPolicy() *v1alpha1.DrainPolicy {
	p := webPolicy()
	p.Spec.DrainStatus.HTTP = &v1alpha1.HTTPDrainStatus{Path: "/drain-status"}
	p.Spec.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: 540}
	return p
}

func readyPod(i int) *corev1.Pod {
	p := pod(i)
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	return p
}

// reachWorld is a world with someone who asks pods.
type reachWorld struct {
	*world
	reaching *ReachReconciler
	// answers says what the pods say now.
	answers drainstatus.Reading
	asked   []string
	woken   []types.NamespacedName
}

func newReachWorld(t *testing.T, objects ...client.Object) *reachWorld {
	t.Helper()
	w := &reachWorld{world: newWorld(t, objects...), answers: drainstatus.Reading{State: drainstatus.Busy}}
	w.reaching = &ReachReconciler{
		client: w.client, clock: w.clock, surveys: w.reconciler.surveys, reaches: w.reconciler.reaches,
		ask: func(_ context.Context, pod *corev1.Pod, _ *v1alpha1.DrainPolicy) drainstatus.Reading {
			w.asked = append(w.asked, pod.Name)
			return w.answers
		},
	}
	w.reaching.reaches.onChange(func(policy types.NamespacedName) { w.woken = append(w.woken, policy) })
	return w
}

// look lets the operator look once, and returns when it will again.
func (w *reachWorld) look() time.Duration {
	w.Helper()
	w.reconciler.surveys.policiesChanged("default")
	result, err := w.reaching.Reconcile(w.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "web"}})
	if err != nil {
		w.Fatal(err)
	}
	return result.RequeueAfter
}

func (w *reachWorld) reachable() string {
	w.Helper()
	w.mustLook()
	c := meta.FindStatusCondition(w.policy().Status.Conditions, v1alpha1.ConditionDrainStatusReachable)
	return string(c.Status) + " " + c.Reason
}

func TestReachIsKnownBeforeAPodIsHeld(t *testing.T) {
	w := newReachWorld(t, holdingPolicy(), readyPod(1), readyPod(2), readyPod(3))
	if got := w.reachable(); got != "Unknown NoPodToAsk" {
		t.Errorf("before any look: %s", got)
	}
	if again := w.look(); again > condition.ReachLater || again < condition.ReachLater*8/10 {
		t.Errorf("looks again in %v after an answer, want about %v", again, condition.ReachLater)
	}
	if got := w.reachable(); got != "True StatusAnswered" {
		t.Errorf("after an answer: %s", got)
	}
	w.answers = drainstatus.NotReadable("no answer: timeout")
	for range 2 {
		if again := w.look(); again != condition.ReachSoon {
			t.Errorf("looks again in %v after a failure, want %v", again, condition.ReachSoon)
		}
	}
	if got := w.reachable(); got != "True StatusAnswered" {
		t.Errorf("after two failures: %s", got)
	}
	w.look()
	if got := w.reachable(); got != "False StatusNotAnswered" {
		t.Errorf("after three failures: %s", got)
	}
	if diff := cmp.Diff([]string{"web-001", "web-002", "web-003", "web-001"}, w.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if w.answers = (drainstatus.Reading{State: drainstatus.Drained}); w.look() <= condition.ReachSoon || w.reachable() != "True StatusAnswered" {
		t.Errorf("after an answer again: %s", w.reachable())
	}
	before := len(w.woken)
	w.look()
	if len(w.woken) != before {
		t.Error("a look that says nothing new woke the policy")
	}
}

func TestReachAsksNobodyInVain(t *testing.T) {
	held := readyPod(1)
	held.Status.Conditions = append(held.Status.Conditions, drain.Wish{Kind: drain.Delete, Since: start, LastAsked: start}.Condition())
	w := newReachWorld(t, holdingPolicy(), held, pod(2))
	if again := w.look(); again != condition.ReachSoon || len(w.asked) > 0 {
		t.Errorf("asked %v, and looks again in %v", w.asked, again)
	}
	termination := newReachWorld(t, webPolicy(), readyPod(1))
	if again := termination.look(); again != 0 || len(termination.asked) > 0 {
		t.Errorf("hold Termination: asked %v, and looks again in %v", termination.asked, again)
	}
	if got := termination.reachable(); got != "Unknown NoDrainYet" {
		t.Errorf("hold Termination: %s", got)
	}
}

// What one leader has seen stands until the next one has seen something else.
func TestReachOutlivesTheLeader(t *testing.T) {
	w := newReachWorld(t, holdingPolicy(), readyPod(1))
	w.look()
	w.reachable()
	w.reconciler.reaches.forget("policy-uid")
	if got := w.reachable(); got != "True StatusAnswered" {
		t.Errorf("after a change of leader: %s", got)
	}
}

func TestReachBeginsAnewWithAnotherEndpoint(t *testing.T) {
	w := newReachWorld(t, holdingPolicy(), readyPod(1))
	w.answers = drainstatus.NotReadable("no answer")
	w.look()
	w.look()
	p := w.policy()
	p.Spec.DrainStatus.HTTP.Path = "/other"
	if err := w.client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.look()
	if got := w.reaching.reaches.of(p.UID).Failures; got != 1 {
		t.Errorf("%d failures are known of the new endpoint, want 1", got)
	}
	p = w.policy()
	p.Spec.Gate.Hold = v1alpha1.HoldTermination
	if err := w.client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	w.look()
	if diff := cmp.Diff(condition.Reach{}, w.reaching.reaches.of(p.UID)); diff != "" {
		t.Errorf("under hold Termination (-want +got):\n%s", diff)
	}
}

func TestHeldPodsInTheStatus(t *testing.T) {
	held := readyPod(1)
	held.Status.Conditions = append(held.Status.Conditions, drain.Wish{Kind: drain.Delete, Since: start, LastAsked: start}.Condition())
	w := newWorld(t, holdingPolicy(), held, readyPod(2))
	w.mustLook()
	got := w.policy().Status
	want := []v1alpha1.HeldPod{{Name: "web-001", UID: "uid-001", Since: metav1.NewTime(start), Until: metav1.NewTime(start.Add(540 * time.Second))}}
	if diff := cmp.Diff(want, got.HeldPods); diff != "" || got.Held != 1 {
		t.Errorf("%d held (-want +got):\n%s", got.Held, diff)
	}
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := slices.ContainsFunc(families, func(f *dto.MetricFamily) bool {
		return f.GetName() == "drain_operator_held_pods" && f.Metric[0].GetGauge().GetValue() == 1
	})
	if !shown {
		t.Error("drain_operator_held_pods does not show the held pod")
	}
}

func TestDeadlinesAreListedRarely(t *testing.T) {
	deployment := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "default"},
		Spec: appsv1.DeploymentSpec{
			ProgressDeadlineSeconds: ptr.To[int32](60),
			Template:                corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}},
		},
	}
	w := newWorld(t, holdingPolicy(), deployment)
	lists, failing := 0, error(nil)
	uncached := interceptor.NewClient(w.client, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, o ...client.ListOption) error {
			lists++
			if failing != nil {
				return failing
			}
			return c.List(ctx, list, o...)
		},
	})
	d := newDeadlines(uncached, w.clock)
	want := []condition.Deadline{{Deployment: "web", Seconds: 60, PodLabels: map[string]string{"app": "web"}}}
	p := holdingPolicy()
	look := func(after time.Duration, known []condition.Deadline, listed int) {
		t.Helper()
		w.clock.SetTime(w.clock.Now().Add(after))
		if diff := cmp.Diff(known, d.of(t.Context(), p)); diff != "" || lists != listed {
			t.Errorf("listed %d times, want %d (-want +got):\n%s", lists, listed, diff)
		}
	}
	failing = errors.New("too busy")
	look(0, nil, 1)
	failing = nil
	look(0, want, 2)
	look(deadlinesPeriod-time.Second, want, 2)
	look(time.Second, want, 3)
	p.Generation++
	look(time.Second, want, 3) // known to be fresh
	p.Generation++
	look(listingFresh, want, 4)
	failing = errors.New("too busy")
	look(deadlinesPeriod, want, 5)
	p.Spec.Gate.Hold = v1alpha1.HoldTermination
	look(deadlinesPeriod, nil, 5)
}
