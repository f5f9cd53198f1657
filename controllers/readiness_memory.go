package controllers

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// settle is how long a write may take to come back through the cache before
// the gate counts as unset again.
const settle = time.Second

// unsetGates remembers pods from when their gate is seen unset until it is
// seen set, so that each is set once. The zero value is ready.
type unsetGates struct {
	mu   sync.Mutex
	pods map[types.UID]unsetGate
}

type unsetGate struct {
	since time.Time
	wrote time.Time // zero: not yet
}

func (g *unsetGates) saw(pod types.UID, since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.pods[pod]; known {
		return
	}
	if g.pods == nil {
		g.pods = map[types.UID]unsetGate{}
	}
	g.pods[pod] = unsetGate{since: since}
}

// stale is how long to wait for the write of a moment ago to be seen.
func (g *unsetGates) stale(pod types.UID, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	wrote := g.pods[pod].wrote
	if wrote.IsZero() {
		return 0
	}
	return max(0, wrote.Add(settle).Sub(now))
}

// writes notes that the gate is about to be set, and returns since when it was
// unset; zero when that is not known. The write may be seen to have come
// through before its answer is there.
func (g *unsetGates) writes(pod types.UID, now time.Time) (since time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate, known := g.pods[pod]
	if !known {
		return time.Time{}
	}
	gate.wrote = now
	g.pods[pod] = gate
	return gate.since
}

// failed says that the write did not come through.
func (g *unsetGates) failed(pod types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate, known := g.pods[pod]; known {
		gate.wrote = time.Time{}
		g.pods[pod] = gate
	}
}

func (g *unsetGates) forget(pod types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pods, pod)
}
