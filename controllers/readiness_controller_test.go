package controllers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// conditionWriter plays the API server, and its cache where it is told to.
type conditionWriter struct {
	mu    sync.Mutex
	fails error
	sees  func(pod *corev1.Pod, conditions []corev1.PodCondition)
	wrote []corev1.PodCondition
}

func (w *conditionWriter) SetConditions(_ context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fails != nil {
		return w.fails
	}
	w.wrote = append(w.wrote, conditions...)
	if w.sees != nil {
		w.sees(pod, conditions)
	}
	return nil
}

func (w *conditionWriter) Release(context.Context, *corev1.Pod, drain.Release) error {
	return errors.New("not to be called")
}

// delays is a queue that remembers after how long what was added is due.
type delays struct {
	queue
	due []time.Duration
}

func (d *delays) Add(reconcile.Request)                            { d.due = append(d.due, 0) }
func (d *delays) AddAfter(_ reconcile.Request, wait time.Duration) { d.due = append(d.due, wait) }

func gatedPod() *testbuild.PodWrapper {
	w := testbuild.MakePod("web-1").ReadinessGates("example.com/lb", v1alpha1.PodInRotation)
	w.UID = "1"
	return w
}

// gateBench is a reconciler among fakes.
type gateBench struct {
	*ReadinessReconciler
	clock    *clocktesting.FakePassiveClock
	writer   *conditionWriter
	registry *prometheus.Registry
	cache    client.Client
}

func newGateBench(t *testing.T, leads bool, pods ...client.Object) gateBench {
	t.Helper()
	b := gateBench{
		clock: clocktesting.NewFakePassiveClock(time.Unix(1_000_000, 0)), writer: &conditionWriter{}, registry: prometheus.NewRegistry(),
		cache: fake.NewClientBuilder().WithObjects(pods...).WithStatusSubresource(&corev1.Pod{}).Build(),
	}
	metrics, err := telemetry.NewReadinessGates(b.registry)
	if err != nil {
		t.Fatal(err)
	}
	elected := make(chan struct{})
	if leads {
		close(elected)
	}
	b.ReadinessReconciler = &ReadinessReconciler{Cached: b.cache, Pods: b.writer, Metrics: metrics, Clock: b.clock, Elected: elected}
	return b
}

func (b gateBench) pass(d time.Duration) { b.clock.SetTime(b.clock.Now().Add(d)) }

func (b gateBench) reconcile(t *testing.T) time.Duration {
	t.Helper()
	result, err := b.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "web-1"}})
	if err != nil {
		t.Fatal(err)
	}
	return result.RequeueAfter
}

// measured are the number and the sum, in seconds, of what was observed.
func (b gateBench) measured(t *testing.T) (uint64, float64) {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil || len(families) != 1 {
		t.Fatalf("got %v, %v", families, err)
	}
	h := families[0].Metric[0].GetHistogram()
	return h.GetSampleCount(), h.GetSampleSum()
}

func TestReadinessGatesAreQueued(t *testing.T) {
	set := gatedPod().Condition(v1alpha1.PodInRotation, corev1.ConditionTrue)
	ending := gatedPod()
	ending.DeletionTimestamp = &metav1.Time{Time: time.Unix(1_000_000, 0)}
	over := gatedPod()
	over.Status.Phase = corev1.PodFailed
	now, later := []time.Duration{0}, []time.Duration{500 * time.Millisecond}
	for name, tc := range map[string]struct {
		pod                     *testbuild.PodWrapper
		asLeader, asAnotherOnes []time.Duration
	}{
		"a new pod":                      {gatedPod(), now, later},
		"one with other conditions":      {gatedPod().Condition(corev1.PodScheduled, corev1.ConditionTrue), now, later},
		"set":                            {set, nil, nil},
		"taken out of rotation":          {gatedPod().Condition(v1alpha1.PodInRotation, corev1.ConditionFalse), nil, nil},
		"without our gate":               {testbuild.MakePod("web-1").ReadinessGates("example.com/lb"), nil, nil},
		"ending":                         {ending, nil, nil},
		"one that will not run any more": {over, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for leads, want := range map[bool][]time.Duration{true: tc.asLeader, false: tc.asAnotherOnes} {
				b := newGateBench(t, leads)
				created, updated := &delays{}, &delays{}
				b.onPod().Create(t.Context(), event.CreateEvent{Object: tc.pod.Obj()}, created)
				b.onPod().Update(t.Context(), event.UpdateEvent{ObjectOld: set.Obj(), ObjectNew: tc.pod.Obj()}, updated)
				for how, q := range map[string]*delays{"created": created, "updated": updated} {
					if diff := cmp.Diff(want, q.due); diff != "" {
						t.Errorf("%s, leader %t (-want +got):\n%s", how, leads, diff)
					}
				}
			}
		})
	}
}

func TestReadinessGateIsSetOnce(t *testing.T) {
	b := newGateBench(t, true, gatedPod().Condition(corev1.PodScheduled, corev1.ConditionTrue).Obj())
	b.onPod().Create(t.Context(), event.CreateEvent{Object: gatedPod().Obj()}, &delays{})
	b.pass(20 * time.Millisecond)
	if wait := b.reconcile(t); wait != 0 {
		t.Errorf("asks to come back after %s", wait)
	}
	at := metav1.NewTime(b.clock.Now())
	want := []corev1.PodCondition{{
		Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, Reason: "InRotation", LastProbeTime: at, LastTransitionTime: at,
	}}
	if diff := cmp.Diff(want, b.writer.wrote); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	// Another change is seen before the write is.
	b.onPod().Update(t.Context(), event.UpdateEvent{ObjectOld: gatedPod().Obj(), ObjectNew: gatedPod().Obj()}, &delays{})
	b.pass(400 * time.Millisecond)
	if wait := b.reconcile(t); wait != 600*time.Millisecond || len(b.writer.wrote) != 1 {
		t.Errorf("wrote %d times, comes back after %s", len(b.writer.wrote), wait)
	}
	// It is never seen: somebody has taken it away at once.
	b.pass(600 * time.Millisecond)
	if b.reconcile(t); len(b.writer.wrote) != 2 {
		t.Errorf("wrote %d times", len(b.writer.wrote))
	}
}

func TestReadinessGateThatTheLeaderHasSet(t *testing.T) {
	b := newGateBench(t, false, gatedPod().Condition(v1alpha1.PodInRotation, corev1.ConditionTrue).Obj())
	b.onPod().Create(t.Context(), event.CreateEvent{Object: gatedPod().Obj()}, &delays{})
	b.pass(500 * time.Millisecond)
	if b.reconcile(t); len(b.writer.wrote) != 0 {
		t.Errorf("wrote %v", b.writer.wrote)
	}
}

func TestReadinessGateOfAPodThatIsGone(t *testing.T) {
	b := newGateBench(t, true)
	if wait := b.reconcile(t); wait != 0 || len(b.writer.wrote) != 0 {
		t.Errorf("wrote %v, comes back after %s", b.writer.wrote, wait)
	}
}

// A write that fails is tried again, by the queue's back-off.
func TestReadinessGateIsTriedAgain(t *testing.T) {
	b := newGateBench(t, true, gatedPod().Obj())
	b.onPod().Create(t.Context(), event.CreateEvent{Object: gatedPod().Obj()}, &delays{})
	b.writer.fails = errors.New("no answer")
	request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "web-1"}}
	if _, err := b.Reconcile(t.Context(), request); !errors.Is(err, b.writer.fails) {
		t.Errorf("got %v", err)
	}
	b.writer.fails = nil
	b.pass(20 * time.Millisecond)
	if b.reconcile(t); len(b.writer.wrote) != 1 {
		t.Errorf("wrote %v", b.writer.wrote)
	}
	if count, sum := b.measured(t); count != 1 || sum != 0.02 {
		t.Errorf("measured %d, %g s", count, sum)
	}
}

func TestReadinessGatesAreMeasured(t *testing.T) {
	created := gatedPod()
	created.CreationTimestamp = metav1.Unix(1_000_000-40, 0)
	for name, tc := range map[string]struct {
		before bool
		want   float64
	}{
		"a new pod, since it was seen":                    {want: 0.25},
		"one that was there before us, since it was made": {before: true, want: 40.25},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateBench(t, true, created.Obj())
			// The watch may show the condition before the answer is there.
			b.writer.sees = func(pod *corev1.Pod, conditions []corev1.PodCondition) {
				after := pod.DeepCopy()
				after.Status.Conditions = conditions
				b.onPod().Update(t.Context(), event.UpdateEvent{ObjectOld: pod, ObjectNew: after}, &delays{})
			}
			b.onPod().Create(t.Context(), event.CreateEvent{Object: created.Obj(), IsInInitialList: tc.before}, &delays{})
			b.pass(250 * time.Millisecond)
			b.reconcile(t)
			if count, sum := b.measured(t); count != 1 || sum != tc.want {
				t.Errorf("measured %d, %g s", count, sum)
			}
			if len(b.gates.pods) != 0 {
				t.Errorf("remembers %v", b.gates.pods)
			}
		})
	}
}

// Nothing is kept of pods that are gone, or whose deletion was missed.
func TestReadinessGatesAreForgotten(t *testing.T) {
	b := newGateBench(t, true)
	other := gatedPod()
	other.UID = "2"
	b.onPod().Create(t.Context(), event.CreateEvent{Object: gatedPod().Obj()}, &delays{})
	b.onPod().Update(t.Context(), event.UpdateEvent{ObjectOld: gatedPod().Obj(), ObjectNew: other.Obj()}, &delays{})
	b.onPod().Delete(t.Context(), event.DeleteEvent{Object: other.Obj()}, &delays{})
	if len(b.gates.pods) != 0 {
		t.Errorf("remembers %v", b.gates.pods)
	}
}
