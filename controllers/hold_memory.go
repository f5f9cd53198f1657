package controllers

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// holdMemory is what the leader knows and the cache does not show yet. Its
// zero value is ready for use.
type holdMemory struct {
	// deciding is held while it is decided about one pod.
	deciding sync.Mutex

	mu   sync.Mutex
	kept map[types.NamespacedName]*heldPod
	// gone are pods that were taken out of rotation or let go, by UID.
	gone map[types.UID]leaver
}

// leaver is a pod that no longer counts as available.
type leaver struct {
	at time.Time
	// failed says that its write may not have been done: it is to be tried again.
	failed bool
}

// leavingFor is how long a pod counts as leaving that the cache shows as it was:
// the write was not done, or was taken back before the cache showed it.
const leavingFor = 10 * time.Second

// heldPod is what is kept of one pod.
type heldPod struct {
	pod    *corev1.Pod
	policy *v1alpha1.DrainPolicy
	// since is when its hold began, zero when none did or its end was told; over
	// says that it was.
	since time.Time
	over  bool
	// refused is what the API server said to the last try to let it go;
	// byBudget: since its disruption budget did not allow it.
	refused  string
	byBudget bool
	// version of the pod from which a write was worked out, and when it was
	// done: the same version is out of date.
	version string
	written time.Time
}

func (m *holdMemory) of(pod *corev1.Pod) *heldPod {
	key := client.ObjectKeyFromObject(pod)
	if m.kept == nil {
		m.kept, m.gone = map[types.NamespacedName]*heldPod{}, map[types.UID]leaver{}
	}
	if m.kept[key] == nil {
		m.kept[key] = &heldPod{pod: pod}
	}
	return m.kept[key]
}

// others takes out what is kept under a name, unless it is of the pod with this UID.
func (m *holdMemory) others(key types.NamespacedName, but types.UID) []heldPod {
	m.mu.Lock()
	defer m.mu.Unlock()
	other := m.kept[key]
	if other == nil || other.pod.UID == but {
		return nil
	}
	delete(m.kept, key)
	delete(m.gone, other.pod.UID)
	return []heldPod{*other}
}

// stale is how long to wait for the cache to show what was written last; 0
// when it does, or should have by now.
func (m *holdMemory) stale(pod *corev1.Pod, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := m.kept[client.ObjectKeyFromObject(pod)]
	if known == nil || known.version == "" || known.version != pod.ResourceVersion {
		return 0
	}
	return max(0, known.written.Add(staleFor).Sub(now))
}

func (m *holdMemory) wrote(pod *corev1.Pod, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.of(pod)
	kept.version, kept.written = pod.ResourceVersion, now
}

// leaves remembers that a pod no longer counts as available.
func (m *holdMemory) leaves(pod *corev1.Pod, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(pod)
	m.gone[pod.UID] = leaver{at: now}
}

// failed remembers that the write by which a pod leaves failed. It may have been
// done all the same: others count the pod as leaving, and it is tried again.
func (m *holdMemory) failed(pod *corev1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l, leaves := m.gone[pod.UID]; leaves {
		l.failed = true
		m.gone[pod.UID] = l
	}
}

// leaving are those of the pods that left by our doing, and look as if they had
// not: in the eyes of the one that is decided about.
func (m *holdMemory) leaving(pods []*corev1.Pod, decided types.UID, now time.Time) map[types.UID]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[types.UID]bool{}
	for _, pod := range pods {
		l, left := m.gone[pod.UID]
		switch {
		case !left:
		case pod.DeletionTimestamp != nil, drain.OutOfRotation(pod), now.Sub(l.at) >= leavingFor:
			delete(m.gone, pod.UID) // the cache shows it now, or it was not done
		case pod.UID != decided || !l.failed:
			found[pod.UID] = true
		}
	}
	return found
}

// began reports whether the beginning of a hold is news.
func (m *holdMemory) began(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, since time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.of(pod)
	if !kept.since.IsZero() {
		return false
	}
	kept.since, kept.policy, kept.over = since, policy, false
	return true
}

// goesOn remembers a hold that this leader did not begin: another one did. A
// pod of which nothing is remembered is not told to have gone, nor forgotten.
func (m *holdMemory) goesOn(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, since time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kept := m.of(pod); kept.since.IsZero() && !kept.over {
		kept.since, kept.policy = since, policy
	}
}

func (m *holdMemory) ended(pod *corev1.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.of(pod)
	kept.since, kept.over, kept.refused, kept.byBudget = time.Time{}, true, "", false
}

func (m *holdMemory) refused(pod *corev1.Pod, message string, byBudget bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.of(pod)
	kept.refused, kept.byBudget = message, byBudget
}

func (m *holdMemory) refusal(pod *corev1.Pod) (message string, byBudget bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if kept := m.kept[client.ObjectKeyFromObject(pod)]; kept != nil {
		return kept.refused, kept.byBudget
	}
	return "", false
}
