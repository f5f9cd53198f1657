package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

const (
	// defaultGraceSeconds is what the API server gives a pod that says nothing.
	defaultGraceSeconds = 30

	// killSeconds is what the kubelet always leaves a process between SIGTERM
	// and SIGKILL, whatever the hook has used up.
	killSeconds = 2

	// maxReasonableSeconds keeps sums and the agent's int32 in bounds: an
	// owner may write any int64.
	maxReasonableSeconds = 1 << 30
)

// graceBounds are the policy's fields that bound the grace. Seconds.
type graceBounds struct {
	min, max          int64
	shutdown, maxHold *int64 // nil = not given
}

// timing is how long a pod may take to end. Seconds.
type timing struct {
	grace  int64 // terminationGracePeriodSeconds
	bound  int64 // of the hold, from the start of the hook
	wanted int64 // the grace before it was clamped
}

// time works out a pod's grace and the bound of its hold.
//
//	grace = clamp(min, max, propagation + hook + budget + shutdown), never below own
//	bound = maxHold, else grace − shutdown
//
// Nothing is measured yet: the budget is the pod's own grace, since that is
// what requests in flight get today; and so is a shutdown that is not given.
// hook is what a native sleep hook takes; an exec or httpGet hook had to end
// within the own grace all along, which the budget covers.
//
// When max leaves too little and shutdown is not given, budget and shutdown
// share what is left after propagation and hook.
func (g graceBounds) time(own, propagation, hook int64) timing {
	budget := min(own, maxReasonableSeconds)
	shutdown := budget
	if g.shutdown != nil {
		shutdown = *g.shutdown
	}
	before := propagation + hook
	t := timing{wanted: before + budget + shutdown}
	t.grace = max(min(max(t.wanted, g.min), g.max), own)
	if g.shutdown == nil && t.grace < t.wanted {
		shutdown = min(shutdown, (t.grace-before)/2)
	}
	hold := t.grace - max(shutdown, killSeconds)
	if g.maxHold != nil {
		hold = min(*g.maxHold, t.grace-killSeconds)
	}
	t.bound = min(max(hold, 1), maxReasonableSeconds)
	return t
}

// ownGrace is the grace that a pod has of its own. The API server turns a
// negative one into 1.
func ownGrace(spec *corev1.PodSpec) int64 {
	switch own := spec.TerminationGracePeriodSeconds; {
	case own == nil:
		return defaultGraceSeconds
	case *own < 0:
		return 1
	default:
		return *own
	}
}

// sleepingHooks is how long the longest native sleep hook of the containers takes.
func sleepingHooks(containers []corev1.Container) int64 {
	longest := int64(0)
	for i := range containers {
		if hook := preStop(&containers[i]); hook != nil && hook.Sleep != nil {
			longest = max(longest, hook.Sleep.Seconds)
		}
	}
	return longest
}

// preStop is the container's preStop hook, or nil.
func preStop(c *corev1.Container) *corev1.LifecycleHandler {
	if c.Lifecycle == nil {
		return nil
	}
	return c.Lifecycle.PreStop
}

// probeGraces gives probes that restart containers the pod's own grace, since
// they inherit the pod's: restarting a dead container must not take longer
// than before. A probe's grace is at least 1.
func probeGraces(spec *corev1.PodSpec, grace int64) []ProbeGrace {
	own := ownGrace(spec)
	if own == grace {
		return nil
	}
	var graces []ProbeGrace
	for c := range longRunning(spec) {
		for kind, probe := range restartProbes(c) {
			if probe.TerminationGracePeriodSeconds == nil {
				graces = append(graces, ProbeGrace{Container: c.Name, Kind: kind, Seconds: max(own, 1)})
			}
		}
	}
	return graces
}

func graceCapped(t timing) Note {
	return Note{Reason: NoteGraceCapped, Message: fmt.Sprintf(
		"propagation, hook, budget and shutdown ask for %d s; with gracePeriod.maxSeconds the pod gets %d s", t.wanted, t.grace)}
}
