package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// modelLeader is a replica that leads: the reconciler, with its work queue, its
// cache and its looks at drain statuses.
type modelLeader struct {
	m          *model
	reconciler *HoldReconciler
	cache      *modelCache
	owners     fleeting[types.UID, drain.Owner]
	budgets    fleeting[string, []*policyv1.PodDisruptionBudget]
	due        map[string]time.Time
	failures   map[string]int
	looks      map[types.UID]*modelLooks
	// up is since when it has led without hanging.
	up, hangsUntil time.Time
	// ending: another will lead; over: it does nothing any more.
	ending, over bool
}

// newLeader starts one with an empty memory. The caches are filled before.
func (m *model) newLeader() {
	l := &modelLeader{
		m: m, due: map[string]time.Time{}, failures: map[string]int{}, looks: map[types.UID]*modelLooks{}, up: m.now(),
		owners:  newFleeting[types.UID, drain.Owner](m.clock, ownerPeriod),
		budgets: newFleeting[string, []*policyv1.PodDisruptionBudget](m.clock, budgetPeriod),
	}
	l.cache = &modelCache{m: m, pods: map[string]*corev1.Pod{}, awake: l.hangs, told: func(name string) { l.enqueue(name, 0) }}
	l.reconciler = &HoldReconciler{World: l, Pods: l, Statuses: l, Teller: l, Observer: l, Clock: m.clock}
	m.leaders = append(m.leaders, l)
	for _, name := range m.names() {
		l.cache.pods[name] = m.pods[name].obj
		l.enqueue(name, m.between(0, 100*time.Millisecond))
	}
}

// hangs is for how long it still does.
func (l *modelLeader) hangs() time.Duration { return max(0, l.hangsUntil.Sub(l.m.now())) }

func (l *modelLeader) enqueue(name string, after time.Duration) {
	at := l.m.now().Add(after)
	if due, ok := l.due[name]; l.over || ok && !due.After(at) {
		return
	}
	l.due[name] = at
	l.m.in(after, func() { l.work(name, at) })
}

func (l *modelLeader) work(name string, at time.Time) {
	if due, ok := l.due[name]; l.over || !ok || !due.Equal(at) {
		return
	}
	delete(l.due, name)
	if hangs := l.hangs(); hangs > 0 {
		l.enqueue(name, hangs)
		return
	}
	result, err := l.reconciler.Reconcile(context.Background(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: name}})
	switch {
	case err != nil:
		l.m.note("%s: leader: %v", name, err)
		l.failures[name]++
		l.enqueue(name, min(20*time.Millisecond<<min(l.failures[name], 10), 5*time.Second))
	case result.RequeueAfter > 0:
		delete(l.failures, name)
		l.enqueue(name, l.repeatable(result.RequeueAfter))
	default:
		delete(l.failures, name)
	}
}

// repeatable makes of a jittered time one that is the same with every run of a seed.
func (l *modelLeader) repeatable(d time.Duration) time.Duration {
	if d > ownerPeriod*9/10 && d <= ownerPeriod {
		return ownerPeriod - time.Duration(l.m.IntN(200))*time.Millisecond
	}
	return d
}

// Pod and what follows implement HoldWorld.
func (l *modelLeader) Pod(_ context.Context, key types.NamespacedName) (*corev1.Pod, error) {
	if l.m.fault(0.005) {
		return nil, errors.New("no answer")
	}
	return l.cache.pods[key.Name], nil
}

func (l *modelLeader) Pods(context.Context, string) ([]*corev1.Pod, error) {
	var all []*corev1.Pod
	for _, p := range l.cache.pods {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *corev1.Pod) int { return modelVersion(a) - modelVersion(b) })
	return all, nil
}

func (l *modelLeader) Policy(context.Context, string, string) (*v1alpha1.DrainPolicy, error) {
	return l.m.policy, nil
}

func (l *modelLeader) NamespaceTerminating(context.Context, string) (bool, error) { return false, nil }

func (l *modelLeader) Releasing() bool { return l.m.uninstalling }

func (l *modelLeader) Owner(_ context.Context, pod *corev1.Pod) (drain.Owner, error) {
	return l.owners.get("1", func() (drain.Owner, error) {
		if l.m.fault(0.01) {
			return drain.Owner{}, errors.New("no answer")
		}
		return l.m.set.owner(), nil
	})
}

func (l *modelLeader) Budgets(context.Context, string) ([]*policyv1.PodDisruptionBudget, error) {
	return l.budgets.get("", func() ([]*policyv1.PodDisruptionBudget, error) {
		if l.m.budget == nil {
			return nil, nil
		}
		return []*policyv1.PodDisruptionBudget{l.m.budget.obj}, nil
	})
}

// SetConditions and Release implement write.Pods, as the API server sees them.
func (l *modelLeader) SetConditions(_ context.Context, pod *corev1.Pod, conditions []corev1.PodCondition) error {
	if l.m.fault(0.03) {
		return errors.New("not written")
	}
	if err := l.m.conflict(pod); err != nil {
		return err
	}
	l.m.set1(pod, conditions)
	if l.m.fault(0.03) {
		return errors.New("written, and no answer")
	}
	return nil
}

// conflict: a pod is written to only as it was known.
func (m *model) conflict(pod *corev1.Pod) error {
	p := m.pods[pod.Name]
	if p == nil || p.obj.UID != pod.UID || p.obj.ResourceVersion == pod.ResourceVersion {
		return nil
	}
	m.seen["conflicts"]++
	return apierrors.NewConflict(corev1.Resource("pods"), pod.Name, errors.New("it has changed"))
}

// set1 sets conditions of a pod, by its UID.
func (m *model) set1(pod *corev1.Pod, conditions []corev1.PodCondition) {
	p := m.pods[pod.Name]
	if p == nil || p.obj.UID != pod.UID {
		return
	}
	if p.obj.DeletionTimestamp == nil {
		p.judgeConditions(conditions)
	}
	for _, c := range conditions {
		m.note("%s: %s=%s %s %s", pod.Name, c.Type, c.Status, c.Reason, c.Message)
	}
	p.update(func(obj *corev1.Pod) {
		for _, c := range conditions {
			setCondition(obj, c)
		}
	})
}

func (l *modelLeader) Release(_ context.Context, pod *corev1.Pod, release drain.Release) error {
	if l.m.fault(0.03) {
		return errors.New("not released")
	}
	p := l.m.pods[pod.Name]
	if p == nil || p.obj.UID != pod.UID {
		return nil
	}
	if p.obj.DeletionTimestamp == nil {
		if err := l.m.conflict(pod); err != nil {
			return err
		}
		if l.m.forbids != nil {
			p.judgeRefused(release)
			return l.m.forbids
		}
		if release.Kind == drain.Evict && !l.m.budget.mayEvict(p, true) {
			l.m.seen["evictions refused to the operator"]++
			return apierrors.NewTooManyRequestsError("Cannot evict pod as it would violate the pod's disruption budget.")
		}
		if release.Kind == drain.Delete && !p.deleteAsked && l.m.budget.obj.Status.DesiredHealthy > 0 && l.m.ago(l.m.budget.idle) > modelLag {
			l.m.breaks("%s: an eviction became a deletion", pod.Name)
		}
		p.terminates("released: " + string(release.Why))
	}
	if l.m.fault(0.03) {
		return errors.New("released, and no answer")
	}
	return nil
}

// Tell implements Teller.
func (l *modelLeader) Tell(pod *corev1.Pod, _ *v1alpha1.DrainPolicy, draining bool) {
	if p := l.m.pods[pod.Name]; p != nil && p.obj.UID == pod.UID {
		p.told = &draining
	}
}

// Began and Ended implement HoldObserver.
func (l *modelLeader) Began(*corev1.Pod, *v1alpha1.DrainPolicy, string) { l.m.seen["began"]++ }

func (l *modelLeader) Ended(_ *corev1.Pod, _ *v1alpha1.DrainPolicy, end drain.HoldEnd, _ string, _ time.Duration) {
	l.m.seen["end "+string(end)]++
}

// modelLooks are the looks at one pod, as probe.Watcher takes them.
type modelLooks struct {
	p    *modelPod
	seen drain.Watched
	row  int
	// gap: the last look fell between two requests. The next one does not.
	gap bool
}

// Follow implements StatusWatcher.
func (l *modelLeader) Follow(pod *corev1.Pod, _ *v1alpha1.DrainPolicy) {
	p := l.m.pods[pod.Name]
	if l.looks[pod.UID] != nil || p == nil || p.obj.UID != pod.UID {
		return
	}
	k := &modelLooks{p: p}
	l.looks[pod.UID] = k
	l.look(pod.UID, k)
}

func (l *modelLeader) look(uid types.UID, k *modelLooks) {
	begun, took := l.m.now(), l.m.between(time.Millisecond, 80*time.Millisecond)
	if l.m.fault(0.02) {
		took, k.p.doubtful = 2*time.Second, l.m.now()
	}
	var early *drainstatus.Reading
	if l.m.chance(0.5) { // what it shows is of some moment between
		early = ptr.To(k.reads())
	}
	l.m.in(took, func() {
		if l.over || l.looks[uid] != k || l.hangs() > 0 && l.retryLook(uid, k) {
			return
		}
		var reading drainstatus.Reading
		switch {
		case took > time.Second:
			reading = drainstatus.NotReadable("no answer")
		case early != nil:
			reading = *early
		default:
			reading = k.reads()
		}
		l.m.note("%s: look begun %v ago: %s (%d in flight)", k.p.obj.Name, l.m.ago(begun), reading.State, k.p.inFlight())
		if k.count(reading, begun, l.m.now()) {
			l.enqueue(k.p.obj.Name, 0)
		}
		pause := time.Second
		if k.seen.Drained == 1 {
			pause = 250 * time.Millisecond
		}
		l.m.in(pause, func() {
			if !l.over && l.looks[uid] == k {
				l.look(uid, k)
			}
		})
	})
}

// retryLook looks again when the leader no longer hangs.
func (l *modelLeader) retryLook(uid types.UID, k *modelLooks) bool {
	k.gap = k.seen.Drained > 0
	l.m.in(l.hangs()+time.Millisecond, func() {
		if !l.over && l.looks[uid] == k {
			l.look(uid, k)
		}
	})
	return true
}

func (k *modelLooks) count(reading drainstatus.Reading, begun, ended time.Time) bool {
	if reading.State != k.seen.Last.State {
		k.row = 0
	}
	k.row++
	seen := drain.Watched{Last: reading, At: ended}
	switch reading.State {
	case drainstatus.Drained:
		seen.Drained, seen.DrainedSince = k.row, k.seen.DrainedSince
		if k.row == 1 {
			seen.DrainedSince = begun
		}
	case drainstatus.Unreadable:
		seen.Unreadable = k.row
	}
	k.seen = seen
	return k.row <= 3 || reading.State == drainstatus.Drained
}

// Seen implements StatusWatcher.
func (l *modelLeader) Seen(pod types.UID) drain.Watched {
	if k := l.looks[pod]; k != nil {
		return k.seen
	}
	return drain.Watched{}
}

// Forget implements StatusWatcher.
func (l *modelLeader) Forget(pod types.UID) { delete(l.looks, pod) }

// reads is what the pod's drain status says at this moment.
func (k *modelLooks) reads() drainstatus.Reading {
	p, gap := k.p, k.gap
	n := p.inFlight()
	k.gap = false
	running := p.obj.Status.ContainerStatuses[0].State.Running != nil
	if p.endpoint != endpointWorks && p.endpoint != endpointGaps {
		p.doubtful = p.m.now()
	}
	switch {
	case p.endpoint == endpointFails || !running:
		p.doubtful = p.m.now()
		return drainstatus.NotReadable("no answer")
	case p.endpoint == endpointLies, n == 0:
		return drainstatus.Reading{State: drainstatus.Drained, Reason: "0 in flight, 0 long-lived"}
	case p.endpoint == endpointGaps && !gap && p.m.chance(0.1):
		k.gap = true
		return drainstatus.Reading{State: drainstatus.Drained, Reason: "0 in flight, 0 long-lived"}
	}
	return drainstatus.Reading{State: drainstatus.Busy, InFlight: int64(n), Reason: "some in flight, 0 long-lived"}
}
