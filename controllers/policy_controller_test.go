package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/telemetry"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

const agentImage = "example.com/agent@sha256:0123456789abcdef"

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is an API server, a webhook and a leader, without time of its own.
type world struct {
	*testing.T
	client     client.WithWatch
	clock      *clocktesting.FakePassiveClock
	reconciler *PolicyReconciler
	events     *events.FakeRecorder
	registry   *prometheus.Registry

	// adding lets objects be created for real: by the test.
	adding bool
	// admit is what API server and webhooks do to a pod that is created.
	admit func(*corev1.Pod) error
	// update is what becomes of a status update; nil is nothing unusual.
	update func(apply func() error) error
	// statuses are all that were written.
	statuses []v1alpha1.DrainPolicyStatus
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &world{T: t, clock: clocktesting.NewFakePassiveClock(start), registry: prometheus.NewRegistry(), events: events.NewFakeRecorder(100)}
	w.admit = inject("web/1")
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&v1alpha1.DrainPolicy{}).
		WithInterceptorFuncs(interceptor.Funcs{Create: w.onCreate, SubResourceUpdate: w.onStatus}).Build()
	metrics, err := telemetry.NewDrains(w.registry)
	if err != nil {
		t.Fatal(err)
	}
	graces, err := telemetry.NewGraces(w.registry)
	if err != nil {
		t.Fatal(err)
	}
	holds, err := telemetry.NewHolds(w.registry)
	if err != nil {
		t.Fatal(err)
	}
	w.reconciler = newPolicyReconciler(w.client, w.client, Options{
		Plan:    func() plan.Options { return plan.Options{AgentImage: agentImage, Delivery: plan.ImageVolume} },
		Metrics: metrics,
		Graces:  graces,
		Clock:   w.clock,
		Hold:    HoldOptions{Metrics: holds},
	})
	w.reconciler.recorder = w.events
	w.reconciler.tracker.onSync(func() bool { return true })
	return w
}

// add creates an object behind the reconciler's back.
func (w *world) add(obj client.Object) {
	w.Helper()
	w.adding = true
	defer func() { w.adding = false }()
	if err := w.client.Create(w.Context(), obj); err != nil {
		w.Fatal(err)
	}
}

func (w *world) onCreate(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
	if w.adding {
		return c.Create(ctx, obj, opts...)
	}
	options := (&client.CreateOptions{}).ApplyOptions(opts)
	pod, ok := obj.(*corev1.Pod)
	if !ok || len(options.DryRun) != 1 || options.DryRun[0] != metav1.DryRunAll {
		w.Errorf("%T %s was created for real", obj, obj.GetName())
		return nil
	}
	return w.admit(pod)
}

func (w *world) onStatus(ctx context.Context, c client.Client, subresource string, obj client.Object, opts ...client.SubResourceUpdateOption) error {
	apply := func() error {
		err := c.SubResource(subresource).Update(ctx, obj, opts...)
		if p, ok := obj.(*v1alpha1.DrainPolicy); ok && err == nil {
			w.statuses = append(w.statuses, *p.Status.DeepCopy())
		}
		return err
	}
	if w.update == nil {
		return apply()
	}
	return w.update(apply)
}

// inject admits pods with settings of that policy and generation, unless they opt out.
func inject(by string) func(*corev1.Pod) error {
	return func(pod *corev1.Pod) error {
		if pod.Annotations[v1alpha1.AnnotationInject] != "false" {
			pod.Labels[v1alpha1.LabelInjected] = "true"
			pod.Annotations[v1alpha1.AnnotationInjectedBy] = by
		}
		return nil
	}
}

func (w *world) policy() *v1alpha1.DrainPolicy {
	w.Helper()
	p := &v1alpha1.DrainPolicy{}
	if err := w.client.Get(w.Context(), client.ObjectKey{Namespace: "default", Name: "web"}, p); err != nil {
		w.Fatal(err)
	}
	return p
}

// look has the informers deliver what there is, and reconciles.
func (w *world) look() (ctrl.Result, error) {
	w.Helper()
	w.reconciler.tracker.SawPolicy(w.policy())
	w.reconciler.surveys.policiesChanged("default")
	return w.reconciler.Reconcile(w.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: "web"}})
}

// mustLook reconciles and returns when to look again.
func (w *world) mustLook() time.Duration {
	w.Helper()
	result, err := w.look()
	if err != nil {
		w.Fatal(err)
	}
	return result.RequeueAfter
}

func (w *world) said() []string {
	var said []string
	for {
		select {
		case event := <-w.events.Events:
			said = append(said, event)
		default:
			return said
		}
	}
}

func webPolicy() *v1alpha1.DrainPolicy {
	p := testobjects.MakePolicy("web").Selects("app", "web").Obj()
	p.UID = "policy-uid"
	return p
}

// pod is one that the policy injected.
func pod(i int) *corev1.Pod {
	p := testobjects.MakePod(fmt.Sprintf("web-%03d", i)).Label("app", "web").Label(v1alpha1.LabelInjected, "true").
		Annotation(v1alpha1.AnnotationInjectedBy, "web/1").Container(testobjects.MakeContainer("app").PreStopSleep(5)).Obj()
	p.UID = types.UID(fmt.Sprintf("uid-%03d", i))
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	return p
}

// dying is the pod while it terminates, dead when its container has ended.
func dying(i int) *corev1.Pod {
	p := pod(i)
	grace := int64(30)
	p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: start.Add(30 * time.Second)}, &grace
	return p
}

func dead(i int) *corev1.Pod {
	p := dying(i)
	p.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		StartedAt: metav1.NewTime(start.Add(-time.Hour)), FinishedAt: metav1.NewTime(start.Add(6 * time.Second))}}
	return p
}

func ready(p *v1alpha1.DrainPolicy) string {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	return string(c.Status) + " " + c.Reason
}

func agent(p *v1alpha1.DrainPolicy) string {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionAgentInstallable)
	return string(c.Status) + " " + c.Reason
}

func TestFirstVisitSetsEverything(t *testing.T) {
	w := newWorld(t, webPolicy(), pod(1), pod(2), testobjects.MakePod("old").Label("app", "web").Container(testobjects.MakeContainer("app")).Obj())
	if after := w.mustLook(); after <= 0 || after > condition.TrialPeriod {
		t.Errorf("looks again in %s, want within %s", after, condition.TrialPeriod)
	}
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: 1, LastTransitionTime: metav1.NewTime(start)}
	}
	want := v1alpha1.DrainPolicyStatus{
		ObservedGeneration: 1, Pods: 3, Injected: 2, AgentImage: agentImage,
		GracePeriod: &v1alpha1.GraceStatus{
			RecommendedSeconds: 90, AppliedSeconds: ptr.To[int32](30),
			Reason: "no source of latency is set: propagation 30 s (propagationMaxSeconds) + budget 30 s (the pod's own grace) + shutdown 30 s (the pod's own grace) → 90 s",
		},
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInjectionWorks, "a dry-run pod came back injected"),
			condition(v1alpha1.ConditionPodsInjected, metav1.ConditionFalse, v1alpha1.ReasonOlderPods, "1 older pod: at their next rollout"),
			condition(v1alpha1.ConditionConflicting, metav1.ConditionFalse, v1alpha1.ReasonNoConflict, "no other policy wins pods that this one selects"),
			condition(v1alpha1.ConditionAgentInstallable, metav1.ConditionUnknown, v1alpha1.ReasonNotYetTried, "no pod has started with the agent yet"),
			condition(v1alpha1.ConditionDrainStatusReachable, metav1.ConditionUnknown, v1alpha1.ReasonNoDrainYet, "no drain has told yet"),
			condition(v1alpha1.ConditionLatencyObserved, metav1.ConditionUnknown, v1alpha1.ReasonNotAskedFor, "spec.gracePeriod.latency names no source: the pod's own grace stands for it"),
			condition(v1alpha1.ConditionGraceWithinCeilings, metav1.ConditionTrue, v1alpha1.ReasonWithinCeilings, "the platform is not known to wait for less than the recommended grace"),
			condition(v1alpha1.ConditionHoldWithinDeadlines, metav1.ConditionUnknown, v1alpha1.ReasonNotHoldingDeletions, "the policy does not hold deletions"),
			condition(v1alpha1.ConditionServerStopsInTime, metav1.ConditionUnknown, v1alpha1.ReasonNoServerSeen, "no container's command shows a server whose graceful timeout is known"),
			condition(v1alpha1.ConditionFrontsCovered, metav1.ConditionUnknown, v1alpha1.ReasonNoFront, "no AWS load balancer is declared in front of the pods"),
			condition(v1alpha1.ConditionConnectionsYoungEnough, metav1.ConditionUnknown, v1alpha1.ReasonNoneSeen, "no drain has met a long-lived connection whose age the workload told"),
		},
	}
	if diff := cmp.Diff(want, w.policy().Status, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Normal InjectionWorks a dry-run pod came back injected"}, w.said()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestNothingIsWrittenWhileNothingHappens(t *testing.T) {
	w := newWorld(t, webPolicy(), pod(1))
	w.mustLook()
	for range 10 {
		w.clock.SetTime(w.clock.Now().Add(condition.TrialPeriod))
		w.mustLook()
	}
	if len(w.statuses) != 1 {
		t.Errorf("%d statuses were written, want 1", len(w.statuses))
	}
}

func TestReadyFollowsTheCanary(t *testing.T) {
	w := newWorld(t, webPolicy(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	w.admit = func(*corev1.Pod) error { return nil }
	var waits []time.Duration
	for range 4 {
		after := w.mustLook()
		waits = append(waits, after)
		w.clock.SetTime(w.clock.Now().Add(after))
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if got := ready(w.policy()); got != "False NotInjected" {
		t.Errorf("not injected: Ready is %s", got)
	}
	w.admit = inject("web/1")
	w.mustLook()
	if got := ready(w.policy()); got != "True InjectionWorks" {
		t.Errorf("injected: Ready is %s", got)
	}
}

func TestReadySaysThatTheNamespaceIsTurnedOff(t *testing.T) {
	off := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default", Labels: map[string]string{v1alpha1.LabelInjection: v1alpha1.InjectionDisabled}}}
	w := newWorld(t, webPolicy(), off)
	w.admit = func(*corev1.Pod) error { return nil }
	w.mustLook()
	if got := ready(w.policy()); got != "False InjectionDisabled" {
		t.Errorf("Ready is %s", got)
	}
}

func TestObserve(t *testing.T) {
	p := webPolicy()
	p.Spec.Mode = v1alpha1.ModeObserve
	w := newWorld(t, p, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	w.admit = func(*corev1.Pod) error { return nil }
	w.mustLook()
	if got := ready(w.policy()); got != "True Observing" {
		t.Errorf("Ready is %s", got)
	}
}

func TestBreakerOpensWhenOnlyInjectedPodsAreRefused(t *testing.T) {
	w := newWorld(t, webPolicy())
	refuse := func(pod *corev1.Pod) error {
		if pod.Annotations[v1alpha1.AnnotationInject] == "false" {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod.Name, errors.New("registry not allowed"))
	}
	w.admit = refuse
	w.mustLook()
	if got := agent(w.policy()); got != "False PodsRefused" {
		t.Fatalf("AgentInstallable is %s", got)
	}

	w.admit = inject("web/1") // the webhook injects the sleep hook
	w.clock.SetTime(start.Add(time.Second))
	w.mustLook()
	if got := ready(w.policy()); got != "True InjectionWorks" {
		t.Errorf("while it sleeps, Ready is %s", got)
	}
	w.admit = refuse
	w.clock.SetTime(start.Add(condition.OpenFor))
	w.mustLook()
	if got := agent(w.policy()); got != "Unknown TryingAgain" {
		t.Errorf("after %s AgentInstallable is %s", condition.OpenFor, got)
	}
	w.mustLook()
	if got := agent(w.policy()); got != "False PodsRefused" {
		t.Errorf("refused again: AgentInstallable is %s", got)
	}
}

func TestQuotaTellsNothing(t *testing.T) {
	w := newWorld(t, webPolicy())
	w.admit = func(pod *corev1.Pod) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, pod.Name, errors.New("exceeded quota"))
	}
	w.mustLook()
	if ready, agent := ready(w.policy()), agent(w.policy()); ready != "Unknown DryRunRefused" || agent != "Unknown NotYetTried" {
		t.Errorf("Ready is %s, AgentInstallable is %s", ready, agent)
	}
}

func TestDrainsArePublishedAlthoughNoPodCanBeCreated(t *testing.T) {
	w := newWorld(t, webPolicy())
	asked := 0
	w.admit = func(*corev1.Pod) error {
		asked++
		return apierrors.NewInternalError(errors.New("failed calling webhook"))
	}
	w.reconciler.tracker.SawPolicy(w.policy())
	w.reconciler.tracker.SawPodGo(dead(1), false)
	for range 3 {
		if after := w.mustLook(); after != pause {
			t.Errorf("looks again in %s, want %s", after, pause)
		}
	}
	if got := ready(w.policy()); got != "Unknown NotYetChecked" || asked != 1 {
		t.Errorf("Ready is %s after %d dry runs", got, asked)
	}
	if got := w.policy().Status.Drains; got != (v1alpha1.DrainCounts{Unknown: 1}) {
		t.Errorf("counted %+v", got)
	}
	w.admit = inject("web/1")
	w.clock.SetTime(start.Add(pause))
	w.mustLook()
	if got := ready(w.policy()); got != "True InjectionWorks" {
		t.Errorf("Ready is %s", got)
	}
}

func TestDrainsAreCounted(t *testing.T) {
	w := newWorld(t, webPolicy())
	w.mustLook()
	w.said()
	tracker := w.reconciler.tracker
	for i := range 3 {
		tracker.SawPod(dying(i))
	}
	w.mustLook()
	if got := w.policy().Status; got.Draining != 3 || len(got.DrainingPods) != 3 {
		t.Errorf("draining: %d, listed %v", got.Draining, got.DrainingPods)
	}
	tracker.SawPodGo(dead(1), false)
	w.mustLook()
	got := w.policy().Status
	want := []v1alpha1.DrainRecord{{
		Pod: "web-001", UID: "uid-001", Outcome: v1alpha1.OutcomeUnknown, Cause: v1alpha1.CauseNoStatus,
		Reason: "a sleep hook of 5 s held the pod: nobody read a drain status", DurationSeconds: 6, EndedAt: metav1.NewTime(start.Add(6 * time.Second)),
	}}
	if diff := cmp.Diff(want, got.RecentDrains); diff != "" || got.Drains != (v1alpha1.DrainCounts{Unknown: 1}) || got.Draining != 2 {
		t.Errorf("draining %d, counted %+v, listed (-want +got):\n%s", got.Draining, got.Drains, diff)
	}
	if diff := cmp.Diff([]string{"Warning DrainUnknown web-001 after 6 s: a sleep hook of 5 s held the pod: nobody read a drain status"}, w.said()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	w.mustLook()
	if len(w.statuses) != 3 {
		t.Errorf("%d statuses were written, want 3", len(w.statuses))
	}
}

// counted is what the metric says.
func (w *world) counted() float64 {
	w.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == "drain_operator_drains_total" {
			for _, m := range f.Metric {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

func TestDrainsAreCountedOnceWhateverBecomesOfTheUpdate(t *testing.T) {
	lost := errors.New("connection reset")
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "drainpolicies"}, "web", errors.New("changed"))
	tests := map[string]struct {
		update func(apply func() error) error
		err    error
	}{
		"conflict":      {update: func(func() error) error { return conflict }},
		"never arrived": {update: func(func() error) error { return lost }, err: lost},
		"done, but the answer was lost": {
			update: func(apply func() error) error { return errors.Join(lost, apply()) },
			err:    lost,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, webPolicy())
			w.mustLook()
			for i := range 3 {
				w.reconciler.tracker.SawPodGo(dead(i), false)
			}
			w.update = tc.update
			result, err := w.look()
			if !errors.Is(err, tc.err) || tc.err == nil && result.RequeueAfter != catchUp {
				t.Errorf("result %v, error %v", result, err)
			}
			w.update = nil
			w.mustLook()
			w.mustLook()
			if got := w.policy().Status; got.Drains != (v1alpha1.DrainCounts{Unknown: 3}) || len(got.RecentDrains) != 3 {
				t.Errorf("counted %+v, listed %v", got.Drains, got.RecentDrains)
			}
			if got := w.counted(); got != 3 {
				t.Errorf("the metric counts %v", got)
			}
		})
	}
}

func TestEveryDrainIsListedInSomeVersion(t *testing.T) {
	w := newWorld(t, webPolicy())
	w.mustLook()
	const drains = 100
	for i := range drains {
		w.reconciler.tracker.SawPodGo(dead(i), false)
	}
	w.mustLook()
	listed := map[string]bool{}
	for _, status := range w.statuses {
		for _, r := range status.RecentDrains {
			listed[r.UID] = true
		}
		if got := int(sum(status.Drains)); got != len(listed) {
			t.Errorf("a version counts %d drains, and %d were listed so far", got, len(listed))
		}
		if waiting := len(status.DrainingPods); len(listed) > 0 && waiting != drains-len(listed) {
			t.Errorf("a version that counts %d drains lists %d as going on", len(listed), waiting)
		}
	}
	if len(listed) != drains || len(w.statuses) != 5 {
		t.Errorf("%d drains were listed in %d versions", len(listed), len(w.statuses))
	}
}

func TestAStaleCacheIsWaitedFor(t *testing.T) {
	w := newWorld(t, webPolicy())
	w.mustLook()
	w.reconciler.tracker.SawPodGo(dead(1), false)
	ahead := w.policy()
	ahead.ResourceVersion = "1000000"
	w.reconciler.tracker.SawPolicy(ahead)
	if after := w.mustLook(); after != catchUp {
		t.Errorf("looks again in %s, want %s", after, catchUp)
	}
	if len(w.statuses) != 1 {
		t.Errorf("%d statuses were written, want 1", len(w.statuses))
	}
}

func TestAPolicyThatIsGoneLeavesNothing(t *testing.T) {
	w := newWorld(t, webPolicy())
	w.mustLook()
	w.reconciler.tracker.SawPodGo(dead(1), false)
	w.mustLook()
	gone := w.policy()
	if err := w.client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.reconciler.tracker.ForgetPolicy(keyOf(gone))
	w.reconciler.forget(gone)
	w.reconciler.tracker.SawPodGo(dead(2), false)
	if result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: keyOf(gone)}); err != nil || !result.IsZero() {
		t.Errorf("result %v, error %v", result, err)
	}
	if n, err := testutil.GatherAndCount(w.registry); err != nil || n != 2 { // dropped records and the duration of looks have no label
		t.Errorf("%d series are left, error %v", n, err)
	}
	if tracker := w.reconciler.tracker; tracker.waiting != 0 || len(tracker.pending) != 0 || len(tracker.ledgers) != 0 {
		t.Errorf("the tracker still holds %d drains of %v", tracker.waiting, tracker.pending)
	}
}
