package controllers

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// holding is all around a HoldReconciler: one pod, and what becomes of it.
type holding struct {
	*HoldReconciler
	clock    *clocktesting.FakePassiveClock
	pod      *corev1.Pod
	policy   *v1alpha1.DrainPolicy
	budgets  []*policyv1.PodDisruptionBudget
	watched  drain.Watched
	followed map[types.UID]bool
	// refuses is what the API server answers to the next releases.
	refuses  error
	released []drain.Release
	told     []string
}

func newHolding(kind drain.Kind) *holding {
	h := &holding{
		clock:    clocktesting.NewFakePassiveClock(start),
		policy:   testobjects.MakePolicy("web").Namespace("shop").HoldsDeletions().Obj(),
		followed: map[types.UID]bool{},
	}
	h.policy.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDrainStatusReachable, Status: metav1.ConditionTrue}}
	h.pod = drainedPod(kind)
	h.watched = drain.Watched{
		Last: drainstatus.Reading{State: drainstatus.Drained, Reason: "0 in flight, 0 long-lived"},
		At:   start, Drained: 2, DrainedSince: start.Add(-time.Second),
	}
	h.takesOver()
	return h
}

// drainedPod was taken out of rotation a minute ago, and waits for requests.
func drainedPod(kind drain.Kind) *corev1.Pod {
	ago := metav1.NewTime(start.Add(-time.Minute))
	pod := testobjects.MakePod("web-1").Namespace("shop").Label(v1alpha1.LabelInjected, "true").
		Annotation(v1alpha1.AnnotationInjectedBy, "web/1").ReadinessGates(v1alpha1.PodInRotation).Obj()
	pod.UID, pod.ResourceVersion = "uid-1", "10"
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{
		Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(start.Add(-time.Hour))},
	}}}
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.ContainersReady, Status: corev1.ConditionTrue},
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: ago},
		{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, LastTransitionTime: ago},
		drain.Wish{Kind: kind, By: "ann", Since: ago.Time, LastAsked: start}.Condition(),
		{Type: v1alpha1.PodDrained, Status: corev1.ConditionFalse, Reason: string(v1alpha1.WaitingForRequests), Message: "3 in flight, 0 long-lived", LastTransitionTime: ago, LastProbeTime: ago},
	}
	return pod
}

// takesOver begins with a new leader, which remembers nothing.
func (h *holding) takesOver() {
	h.HoldReconciler = &HoldReconciler{World: h, Pods: h, Statuses: h, Teller: h, Observer: h, Clock: h.clock}
}

func (h *holding) reconcile() error {
	_, err := h.Reconcile(context.Background(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web-1"}})
	return err
}

// asks is what somebody gets who asks for the pod's end now.
func (h *holding) asks() drain.VerdictReason {
	return drain.Decide(drain.Snapshot{Ask: drain.Ask{Kind: drain.Delete, User: "ann"}, Pod: h.pod, Policy: h.policy}, h.clock.Now()).Reason
}

// Pod and what follows implement HoldWorld.
func (h *holding) Pod(context.Context, types.NamespacedName) (*corev1.Pod, error) { return h.pod, nil }

func (h *holding) Pods(context.Context, string) ([]*corev1.Pod, error) {
	return []*corev1.Pod{h.pod}, nil
}

func (h *holding) Policy(context.Context, string, string) (*v1alpha1.DrainPolicy, error) {
	return h.policy, nil
}

func (h *holding) NamespaceTerminating(context.Context, string) (bool, error) { return false, nil }

func (h *holding) Releasing() bool { return false }

func (h *holding) Owner(context.Context, *corev1.Pod) (drain.Owner, error) { return drain.Owner{}, nil }

func (h *holding) Budgets(context.Context, string) ([]*policyv1.PodDisruptionBudget, error) {
	return h.budgets, nil
}

// SetConditions and Release implement write.Pods.
func (h *holding) SetConditions(_ context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	h.pod = pod.DeepCopy()
	for _, c := range conditions {
		setCondition(h.pod, c)
	}
	version, err := strconv.Atoi(pod.ResourceVersion)
	h.pod.ResourceVersion = strconv.Itoa(version + 1)
	return err
}

func (h *holding) Release(_ context.Context, _ *corev1.Pod, release drain.Release) error {
	h.released = append(h.released, release)
	return h.refuses
}

// Follow, Seen and Forget implement StatusWatcher.
func (h *holding) Follow(pod *corev1.Pod, _ *v1alpha1.DrainPolicy) { h.followed[pod.UID] = true }
func (h *holding) Seen(types.UID) drain.Watched                    { return h.watched }
func (h *holding) Forget(pod types.UID)                            { delete(h.followed, pod) }

// Tell implements Teller.
func (h *holding) Tell(*corev1.Pod, *v1alpha1.DrainPolicy, bool) {}

// Began and Ended implement HoldObserver.
func (h *holding) Began(*corev1.Pod, *v1alpha1.DrainPolicy, string) { h.told = append(h.told, "began") }

func (h *holding) Ended(_ *corev1.Pod, _ *v1alpha1.DrainPolicy, end drain.HoldEnd, _ string, held time.Duration) {
	h.told = append(h.told, "ended: "+string(end)+" after "+held.String())
}

func TestWhoAsksAgainIsLetThroughWhileTheReleaseIsRefused(t *testing.T) {
	pods := corev1.Resource("pods")
	tests := map[string]struct {
		answer error
		// fails: the error is returned, so that it is tried again later and later.
		fails bool
		want  drain.VerdictReason
	}{
		"the budget":              {answer: apierrors.NewTooManyRequestsError("Cannot evict pod"), want: drain.AllowedDrained},
		"an admission policy":     {answer: apierrors.NewForbidden(pods, "web-1", errors.New("only people delete")), fails: true, want: drain.AllowedDrained},
		"a webhook is away":       {answer: apierrors.NewInternalError(errors.New("failed calling webhook")), fails: true, want: drain.AllowedDrained},
		"what nobody foresaw":     {answer: apierrors.NewGenericServerResponse(http.StatusTeapot, "DELETE", pods, "web-1", "", 0, true), fails: true, want: drain.AllowedDrained},
		"the pod has changed":     {answer: apierrors.NewConflict(pods, "web-1", errors.New("it has changed")), want: drain.RefusedNotDrained},
		"there is no answer":      {answer: errors.New("connection refused"), fails: true, want: drain.RefusedNotDrained},
		"the answer was lost":     {answer: context.DeadlineExceeded, fails: true, want: drain.RefusedNotDrained},
		"there is no pod anymore": {answer: apierrors.NewNotFound(pods, "web-1"), fails: true, want: drain.RefusedNotDrained},
	}
	for name, tc := range tests {
		for _, kind := range []drain.Kind{drain.Delete, drain.Evict} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				h := newHolding(kind)
				h.refuses = tc.answer
				if err := h.reconcile(); (err != nil) != tc.fails || tc.fails && !errors.Is(err, tc.answer) {
					t.Errorf("error %v", err)
				}
				if got := h.asks(); got != tc.want {
					t.Errorf("who asks again gets %s, want %s", got, tc.want)
				}
				h.clock.SetTime(start.Add(3 * time.Second))
				h.refuses = nil
				if err := h.reconcile(); err != nil {
					t.Errorf("when it is accepted: %v", err)
				}
				want := []drain.Release{{Kind: kind, Why: drain.EndDrained}, {Kind: kind, Why: drain.EndDrained}}
				if diff := cmp.Diff(want, h.released); diff != "" {
					t.Errorf("asked of the API server (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// A budget that wants nothing refuses an eviction only since the pod is out of
// rotation. Who else refuses one has reasons of their own.
func TestAnEvictionBecomesADeletionByItsBudgetOnly(t *testing.T) {
	for name, tc := range map[string]struct {
		answer error
		want   drain.Kind
	}{
		"the budget":          {apierrors.NewTooManyRequestsError("Cannot evict pod"), drain.Delete},
		"an admission policy": {apierrors.NewForbidden(corev1.Resource("pods"), "web-1", errors.New("no evictions today")), drain.Evict},
	} {
		h := newHolding(drain.Evict)
		h.budgets = []*policyv1.PodDisruptionBudget{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}},
		}}
		h.refuses = tc.answer
		_ = h.reconcile() // refused
		h.clock.SetTime(start.Add(3 * time.Second))
		_ = h.reconcile()
		want := []drain.Release{{Kind: drain.Evict, Why: drain.EndDrained}, {Kind: tc.want, Why: drain.EndDrained}}
		if diff := cmp.Diff(want, h.released); diff != "" {
			t.Errorf("%s: asked of the API server (-want +got):\n%s", name, diff)
		}
	}
}

// A new leader goes on with a hold that another began: it writes nothing, as
// long as nothing has changed, and looks at the drain status all the same.
func TestAHoldThatAnotherLeaderBeganEndsWithItsPod(t *testing.T) {
	for name, age := range map[string]time.Duration{
		"written a moment ago": 10 * time.Second,
		"to be written again":  time.Minute,
	} {
		h := newHolding(drain.Delete)
		h.watched = drain.Watched{
			Last: drainstatus.Reading{State: drainstatus.Busy, InFlight: 2, Reason: "2 in flight, 0 long-lived"}, At: start,
		}
		modelCondition(h.pod, v1alpha1.PodDrained).LastProbeTime = metav1.NewTime(start.Add(-age))
		if err := h.reconcile(); err != nil {
			t.Fatal(err)
		}
		if !h.followed["uid-1"] {
			t.Errorf("%s: its drain status is not looked at", name)
		}
		h.pod = nil // somebody else's deletion went through
		h.clock.SetTime(start.Add(5 * time.Second))
		for range 2 {
			if err := h.reconcile(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(map[types.UID]bool{}, h.followed); diff != "" {
			t.Errorf("%s: still looked at, once it is gone (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff([]string{"ended: Gone after 1m5s"}, h.told); diff != "" {
			t.Errorf("%s: told (-want +got):\n%s", name, diff)
		}
	}
}

// What this leader let go is not told to have gone, too.
func TestAReleasedPodIsToldOfOnce(t *testing.T) {
	h := newHolding(drain.Delete)
	if err := h.reconcile(); err != nil {
		t.Fatal(err)
	}
	h.clock.SetTime(start.Add(3 * time.Second)) // the cache shows it as it was
	h.watched = drain.Watched{}
	if err := h.reconcile(); err != nil {
		t.Fatal(err)
	}
	h.pod = nil
	if err := h.reconcile(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ended: Drained after 1m0s"}, h.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[types.UID]bool{}, h.followed); diff != "" {
		t.Errorf("still looked at, once it is gone (-want +got):\n%s", diff)
	}
}
