package controllers

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// The model: a small cluster in memory, on a clock of its own. People, kubectl
// drain and the workload's controller ask for pods to end; drain.Decide answers
// them as the webhook does, and the HoldReconciler holds the pods. Caches lag,
// writes fail, leaders change and hang, kubelets are late, endpoints fail and
// lie. After modelUnrest it is quiet, and all must come to rest.
//
// What must never happen is looked at with every step:
//   - a pod goes with requests in flight, or while it gets new ones, before its bound;
//   - a pod is held past its bound while somebody leads and may let it go;
//   - a pod is refused to everybody whose release was tried and refused;
//   - a pod is taken out of rotation that a disruption budget needs, or an
//     eviction becomes a deletion;
//   - a deletion is lost: a wish ends without its pod, and neither its owner nor
//     the time wanted so.
//
// And at the end: what was asked for has come about, all pods are in rotation,
// were told so, and nobody writes any more, or looks at pods that are gone.

const (
	modelUnrest = 90 * time.Second
	modelEnd    = 520 * time.Second
	// modelSlack is what acting takes at most: cache, owner, failed writes.
	modelSlack = 20 * time.Second
	// modelLag is more than a cache or a controller is ever behind.
	modelLag = 5 * time.Second
)

var modelStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// TestHoldModel runs the model. Its seeds are always the same, so that the gate
// is a matter of the source alone; with RUNS, there are so many, of random seeds.
// SEED repeats one, with what happened in it.
func TestHoldModel(t *testing.T) {
	if seed := os.Getenv("SEED"); seed != "" {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		m := newModel(n)
		m.tracing = true
		m.run()
		t.Logf("what happened:\n%s", strings.Join(m.trace, "\n"))
		m.report(t)
		return
	}
	runs, base := modelRuns(t)
	t.Logf("%d runs from seed %d", runs, base)
	seen := map[string]int{}
	for i := range runs {
		m := newModel(base + uint64(i))
		m.run()
		for what, n := range m.seen {
			seen[what] += n
		}
		if m.report(t); t.Failed() {
			return
		}
	}
	t.Logf("seen: %v", seen)
	for _, end := range drain.HoldEnds {
		if seen["end "+string(end)] == 0 {
			t.Errorf("no hold ended as %s: the model does not show it", end)
		}
	}
}

// modelRuns is how many there are, and the seed of the first.
func modelRuns(t *testing.T) (runs int, base uint64) {
	t.Helper()
	if s := os.Getenv("RUNS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n, rand.Uint64()
	}
	if testing.Short() {
		return 200, 1
	}
	return 2000, 1
}

// model is the cluster. Everything in it happens one after the other.
type model struct {
	*rand.Rand
	seed  uint64
	clock *clocktesting.FakePassiveClock
	queue modelEvents
	order int

	pods    map[string]*modelPod
	ended   map[string]bool // UIDs
	uids    int
	version int
	last    time.Time // of a write

	set     modelSet
	budget  *modelBudget
	policy  *v1alpha1.DrainPolicy
	leaders []*modelLeader
	webhook *modelCache
	drains  []*modelDrain
	wishes  []*modelWish

	quiet, uninstalling, webhookDown bool
	// nobodyTells: there was no policy for a while, which says how.
	nobodyTells bool
	// loose is when the policy last did not hold; disturbed is when pods were
	// last lost in a way that no budget is asked for.
	loose, disturbed time.Time
	// forbids is what the API server answers to the operator's releases, nil when
	// it takes them; forbade is until when it last did not.
	forbids error
	forbade time.Time

	broken  []string
	seen    map[string]int
	tracing bool
	trace   []string
}

func newModel(seed uint64) *model {
	m := &model{
		Rand: rand.New(rand.NewPCG(seed, 1)), seed: seed,
		clock: clocktesting.NewFakePassiveClock(modelStart),
		pods:  map[string]*modelPod{}, ended: map[string]bool{}, seen: map[string]int{},
	}
	m.webhook = &modelCache{m: m, pods: map[string]*corev1.Pod{}}
	m.policy = m.modelPolicy()
	m.set = modelSet{m: m, replicas: 1 + m.IntN(5), ordered: m.chance(0.3)}
	if m.chance(0.7) {
		m.budget = newModelBudget(m)
	}
	for range m.set.replicas {
		p := m.set.create(m.set.freeName())
		p.startsAtOnce()
		m.webhook.pods[p.obj.Name] = p.obj
	}
	m.newLeader()
	m.plans()
	return m
}

// run lets everything happen that is to happen.
func (m *model) run() {
	for len(m.queue) > 0 && len(m.broken) == 0 {
		e := heap.Pop(&m.queue).(modelEvent)
		if e.at.After(modelStart.Add(modelEnd)) {
			break
		}
		m.clock.SetTime(e.at)
		e.run()
	}
	if len(m.broken) == 0 {
		m.clock.SetTime(modelStart.Add(modelEnd))
		m.atRest()
	}
}

func (m *model) report(t *testing.T) {
	t.Helper()
	for _, what := range m.broken {
		t.Errorf("%s (again: SEED=%d)", what, m.seed)
	}
}

// in runs something after a time.
func (m *model) in(d time.Duration, run func()) {
	m.order++
	heap.Push(&m.queue, modelEvent{at: m.now().Add(max(0, d)), order: m.order, run: run})
}

func (m *model) now() time.Time { return m.clock.Now() }

func (m *model) ago(t time.Time) time.Duration { return m.now().Sub(t) }

func (m *model) chance(p float64) bool { return m.Float64() < p }

// between is a time between two.
func (m *model) between(least, most time.Duration) time.Duration {
	return least + time.Duration(m.Int64N(int64(most-least)+1))
}

// fault says that something fails now, while there is unrest.
func (m *model) fault(p float64) bool { return !m.quiet && m.chance(p) }

func (m *model) note(format string, args ...any) {
	if m.tracing {
		m.trace = append(m.trace, fmt.Sprintf("%8.3f ", m.ago(modelStart).Seconds())+fmt.Sprintf(format, args...))
	}
}

func (m *model) breaks(format string, args ...any) {
	what := fmt.Sprintf("at %.3f s: ", m.ago(modelStart).Seconds()) + fmt.Sprintf(format, args...)
	m.note("BROKEN %s", what)
	m.broken = append(m.broken, what)
}

// names of the pods, in order: what happens must not depend on a map's.
func (m *model) names() []string {
	names := make([]string, 0, len(m.pods))
	for name := range m.pods {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// anyPod picks one, nil when there is none.
func (m *model) anyPod() *modelPod {
	names := m.names()
	if len(names) == 0 {
		return nil
	}
	return m.pods[names[m.IntN(len(names))]]
}

func (m *model) leader() *modelLeader { return m.leaders[len(m.leaders)-1] }

// atRest looks at what has become of everything.
func (m *model) atRest() {
	if active := m.set.active(); len(active) != m.set.replicas {
		m.breaks("%d pods at the end, want %d", len(active), m.set.replicas)
	}
	for _, name := range m.names() {
		m.pods[name].atRest()
	}
	for _, w := range m.wishes {
		w.atRest()
	}
	for _, d := range m.drains {
		d.atRest()
	}
	for uid, looks := range m.leader().looks {
		if looks.p.obj.UID != uid || m.pods[looks.p.obj.Name] != looks.p {
			m.breaks("%s is gone, and its drain status is looked at for ever", looks.p.obj.Name)
		}
	}
	if quietFor := m.ago(m.last); quietFor < 20*time.Second {
		m.breaks("a pod was written to %v before the end", quietFor)
	}
}

type modelEvent struct {
	at    time.Time
	order int
	run   func()
}

type modelEvents []modelEvent

func (e modelEvents) Len() int { return len(e) }
func (e modelEvents) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].order < e[j].order
}
func (e modelEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *modelEvents) Push(x any)   { *e = append(*e, x.(modelEvent)) }
func (e *modelEvents) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
