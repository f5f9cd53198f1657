package controllers

import (
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// maxPending bounds the ended drains that wait to be published, some 5 MiB.
const maxPending = 10_000

// Tracker follows the drains of all injected pods, on every replica. What it
// saw end is pending until a version of the policy's status lists it: the
// leader publishes from here, and the other replicas keep what they saw in
// case the leader does not live to do so.
//
// It is safe for concurrent use.
type Tracker struct {
	clock clock.PassiveClock
	// dropped is called for each ended drain that had to be forgotten.
	dropped func()

	mu sync.Mutex
	// existing injected pods, and the live drains among them, by UID.
	existing map[types.UID]bool
	live     map[types.UID]*liveDrain
	// pending drains by policy, the oldest first.
	pending map[types.NamespacedName][]v1alpha1.DrainRecord
	waiting int
	ledgers map[types.NamespacedName]*ledger
	hooks   failedHooks
	// synced says that all pods and policies that there were at the start
	// have come through here.
	synced func() bool
	// changed is called, without the lock, when a policy's drains changed.
	changed func(policy types.NamespacedName)
}

// liveDrain is a pod that is terminating.
type liveDrain struct {
	policy types.NamespacedName
	pod    string
	since  time.Time
	// grace in seconds that the deletion asked for; nil until it is known.
	grace *int64
}

// NewTracker returns an empty tracker.
func NewTracker(clock clock.PassiveClock, dropped func()) *Tracker {
	return &Tracker{
		clock:    clock,
		dropped:  dropped,
		existing: map[types.UID]bool{},
		live:     map[types.UID]*liveDrain{},
		pending:  map[types.NamespacedName][]v1alpha1.DrainRecord{},
		ledgers:  map[types.NamespacedName]*ledger{},
		hooks:    failedHooks{at: map[types.UID]map[string]time.Time{}},
		synced:   func() bool { return false },
		changed:  func(types.NamespacedName) {},
	}
}

// SawPod takes note of a pod's new state.
func (t *Tracker) SawPod(pod *corev1.Pod) {
	policy, injected := policyOf(pod)
	if injected && t.follow(policy, pod) {
		t.notify(policy)
	}
}

// follow reports whether the pod has begun to drain.
func (t *Tracker) follow(policy types.NamespacedName, pod *corev1.Pod) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.existing[pod.UID] = true
	if pod.DeletionTimestamp == nil {
		return false
	}
	d, known := t.live[pod.UID]
	if !known {
		d = &liveDrain{policy: policy, pod: pod.Name, since: deletedAt(pod)}
		t.live[pod.UID] = d
	}
	// The kubelet ends a pod with a grace of 0, which nobody asked for.
	if grace := pod.DeletionGracePeriodSeconds; grace != nil && *grace > 0 {
		d.grace = grace
	}
	return !known
}

// SawPodGo takes note of a pod that is gone. missed says that its deletion
// was not seen, so that pod is only the last state known.
func (t *Tracker) SawPodGo(pod *corev1.Pod, missed bool) {
	if policy, ended := t.end(pod, missed); ended {
		t.notify(policy)
	}
}

// end moves a drain from live to pending in one step, so that the leader never
// finds it in neither.
func (t *Tracker) end(pod *corev1.Pod, missed bool) (types.NamespacedName, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.existing, pod.UID)
	policy, injected := policyOf(pod)
	d, drained := t.live[pod.UID]
	if !injected && !drained { // one that drained may have lost its label since
		return policy, false
	}
	ended := drain.Ended{Pod: pod, Missed: missed, SeenAt: t.clock.Now()}
	began := deletedAt(pod)
	if drained {
		policy, began, ended.GraceSeconds, ended.DeletedAt = d.policy, d.since, d.grace, d.since
		delete(t.live, pod.UID)
	}
	ended.FailedHooks = t.hooks.take(pod.UID, began)
	l, known := t.ledgers[policy]
	switch {
	case known && l.has(string(pod.UID)): // the leader was quicker
		return policy, false
	case !known && t.synced(): // there is no such policy
		return policy, false
	}
	t.add(policy, drain.Judge(ended))
	return policy, true
}

func (t *Tracker) add(policy types.NamespacedName, record v1alpha1.DrainRecord) {
	if t.waiting >= maxPending {
		t.dropped()
		return
	}
	t.pending[policy] = append(t.pending[policy], record)
	t.waiting++
}

// SawHookFail takes note that the kubelet reported FailedPreStopHook.
func (t *Tracker) SawHookFail(pod types.UID, container string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hooks.add(pod, container, at)
}

// SawPolicy takes note of a version of a policy: what it lists is published.
// Every version must come through here.
func (t *Tracker) SawPolicy(p *v1alpha1.DrainPolicy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := keyOf(p)
	l, known := t.ledgers[key]
	if !known {
		l = &ledger{}
		t.ledgers[key] = l
	}
	_, unseen := l.saw(p, t.mayEnd, t.clock.Now())
	kept := slices.DeleteFunc(t.pending[key], func(r v1alpha1.DrainRecord) bool { return l.has(r.UID) })
	// Drains are published in the order in which they ended.
	kept = kept[min(unseen, int64(len(kept))):]
	t.setPending(key, kept)
}

// mayEnd says that a pod exists, or is not known yet not to.
func (t *Tracker) mayEnd(uid string) bool { return t.existing[types.UID(uid)] || !t.synced() }

func (t *Tracker) setPending(key types.NamespacedName, kept []v1alpha1.DrainRecord) {
	t.waiting += len(kept) - len(t.pending[key])
	if len(kept) == 0 {
		delete(t.pending, key)
		return
	}
	t.pending[key] = kept
}

// ForgetPolicy drops everything about a policy that is gone.
func (t *Tracker) ForgetPolicy(key types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.setPending(key, nil)
	delete(t.ledgers, key)
}

// Drains is what the tracker knows of a policy's drains.
type Drains struct {
	// Current says that the tracker has seen exactly this version of the
	// policy: only then is Pending in no version of it.
	Current bool
	// Draining pods.
	Draining []v1alpha1.DrainingPod
	// Pending drains, the oldest first. They are in no published status.
	Pending []v1alpha1.DrainRecord
}

// Of returns what is to be published of a policy's drains. A drain that the
// policy lists as going on, and whose pod is gone without a record, ended unseen.
func (t *Tracker) Of(p *v1alpha1.DrainPolicy) Drains {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := keyOf(p)
	l, known := t.ledgers[key]
	if !t.synced() || !known || l.policy != p.UID || l.version != p.ResourceVersion {
		return Drains{}
	}
	d := Drains{Current: true, Pending: slices.Clone(t.pending[key])}
	for uid, live := range t.live {
		if live.policy == key {
			d.Draining = append(d.Draining, v1alpha1.DrainingPod{Name: live.pod, UID: string(uid), Since: metav1.NewTime(live.since)})
		}
	}
	return t.withUnseen(d, p, l)
}

func (t *Tracker) withUnseen(d Drains, p *v1alpha1.DrainPolicy, l *ledger) Drains {
	for _, listed := range p.Status.DrainingPods {
		exists := t.existing[types.UID(listed.UID)]
		seen := slices.ContainsFunc(d.Pending, func(r v1alpha1.DrainRecord) bool { return r.UID == listed.UID })
		if !exists && !seen && !l.has(listed.UID) {
			d.Pending = append(d.Pending, drain.NotObserved(listed, t.clock.Now()))
		}
	}
	return d
}

func (t *Tracker) notify(policy types.NamespacedName) {
	t.mu.Lock()
	changed := t.changed
	t.mu.Unlock()
	changed(policy)
}

// onChange sets who is told of policies whose drains changed.
func (t *Tracker) onChange(changed func(types.NamespacedName)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.changed = changed
}

// onSync sets how to find out whether the tracker has caught up.
func (t *Tracker) onSync(synced func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.synced = synced
}

// policyOf names the policy whose settings a pod carries.
func policyOf(pod *corev1.Pod) (types.NamespacedName, bool) {
	name, _, injected := condition.InjectedBy(pod)
	return types.NamespacedName{Namespace: pod.Namespace, Name: name}, injected
}

func keyOf(p *v1alpha1.DrainPolicy) types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// deletedAt is when a pod's deletion was accepted; zero when there was none.
// The API server moves deletionTimestamp with the grace.
func deletedAt(pod *corev1.Pod) time.Time {
	if pod.DeletionTimestamp == nil {
		return time.Time{}
	}
	var grace int64
	if pod.DeletionGracePeriodSeconds != nil {
		grace = *pod.DeletionGracePeriodSeconds
	}
	return pod.DeletionTimestamp.Add(-time.Duration(grace) * time.Second)
}

// maxHooks bounds the pods whose failed hooks are remembered.
const maxHooks = 4096

// failedHooks remembers which containers' hooks failed, and when. Events of
// hooks come from another watch than pods, so early or late.
type failedHooks struct {
	at    map[types.UID]map[string]time.Time
	order []types.UID
}

func (f *failedHooks) add(pod types.UID, container string, at time.Time) {
	if f.at[pod] == nil {
		f.at[pod] = map[string]time.Time{}
		f.order = append(f.order, pod)
	}
	f.at[pod][container] = at
	for len(f.order) > maxHooks {
		delete(f.at, f.order[0])
		f.order = f.order[1:]
	}
}

// take returns the containers whose hook failed since the deletion, and
// forgets the pod: a hook also runs when a liveness probe restarts a container.
func (f *failedHooks) take(pod types.UID, since time.Time) map[string]bool {
	var failed map[string]bool
	for container, at := range f.at[pod] {
		if at.Before(since.Add(-time.Second)) {
			continue
		}
		if failed == nil {
			failed = map[string]bool{}
		}
		failed[container] = true
	}
	delete(f.at, pod)
	return failed
}

// containerOf finds the container's name in an event's field path,
// spec.containers{name}.
func containerOf(fieldPath string) string {
	_, rest, found := strings.Cut(fieldPath, "{")
	if !found {
		return ""
	}
	return strings.TrimSuffix(rest, "}")
}
