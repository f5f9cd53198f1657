package plan

import (
	"fmt"
	"slices"

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

// graceBounds are the policy's fields that bound the grace, and what was
// measured. Seconds; nil = not given, not known.
type graceBounds struct {
	min, max          int64
	shutdown, maxHold *int64
	// notice is the longLived.noticeSeconds of CloseAfter.
	notice int64
	// hold and learned are status.gracePeriod's holdSeconds and shutdownSeconds.
	hold, learned *int64
	// elsewhere says that they are not of the pod's workload.
	elsewhere bool
	// sleep is the longest lifecycle sleep that stays in the pod; 0 = none that
	// the grace would not cover anyway.
	sleep int64
}

// timing is how long a pod may take to end. Seconds.
type timing struct {
	grace  int64 // terminationGracePeriodSeconds
	bound  int64 // of the hold, from the start of the hook
	wanted int64 // the grace before it was clamped
}

// time works out a pod's grace and the bound of its hold.
//
//	grace = clamp(min, max, hold + hook + shutdown)
//	bound = maxHold, else grace − shutdown
//
// hold is what was measured, which has the notice in it. Without that it is
// propagation, notice and the pod's own grace, since that is what requests in
// flight get today; and then, or when
// the shutdown is the pod's own grace, too, because it is neither given nor
// learned, or when another workload's requests were measured, the pod never gets
// less than it had. hook is what a native sleep
// hook takes; an exec or httpGet hook had to end within the own grace all
// along, which the budget covers.
//
// The API server refuses a pod that sleeps for longer than its grace: that is
// never less than such a sleep. In a pod that was valid it is at most the own grace.
//
// When max leaves too little and the shutdown is not given, budget and
// shutdown share what is left after propagation, notice and hook.
func (g graceBounds) time(own, propagation, hook int64) timing {
	ownShutdown := min(own, maxReasonableSeconds)
	hold := propagation + g.notice + ownShutdown
	if g.hold != nil {
		hold = *g.hold
	}
	shutdown, known := ownShutdown, false
	for _, s := range []*int64{g.learned, g.shutdown} {
		if s != nil {
			shutdown, known = *s, true
		}
	}
	t := timing{wanted: hold + hook + shutdown}
	t.grace = max(min(max(t.wanted, g.min), g.max), min(g.sleep, own))
	if g.hold == nil || !known || g.elsewhere {
		t.grace = max(t.grace, own)
	}
	if g.shutdown == nil && t.grace < t.wanted {
		shutdown = min(shutdown, (t.grace-propagation-g.notice-hook)/2)
	}
	t.bound = g.bound(t.grace, shutdown)
	return t
}

// bound of the hold. The kubelet leaves a process some seconds in any case.
func (g graceBounds) bound(grace, shutdown int64) int64 {
	held := grace - max(shutdown, killSeconds)
	if g.maxHold != nil {
		held = min(*g.maxHold, grace-killSeconds)
	}
	return min(max(held, 1), maxReasonableSeconds)
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
		longest = max(longest, sleepOf(preStop(&containers[i])))
	}
	return longest
}

// longestSleep is the longest native sleep among all lifecycle hooks, once
// those are in place that are planned.
func longestSleep(spec *corev1.PodSpec, planned []Hook) int64 {
	longest := int64(0)
	for i := range planned {
		longest = max(longest, sleepOf(&planned[i].Handler))
	}
	for c := range longRunning(spec) {
		if !slices.ContainsFunc(planned, func(h Hook) bool { return h.Container == c.Name }) {
			longest = max(longest, sleepOf(preStop(c)))
		}
		if c.Lifecycle != nil {
			longest = max(longest, sleepOf(c.Lifecycle.PostStart))
		}
	}
	return longest
}

// sleepOf is how long a hook sleeps, if it does.
func sleepOf(hook *corev1.LifecycleHandler) int64 {
	if hook == nil || hook.Sleep == nil {
		return 0
	}
	return hook.Sleep.Seconds
}

// preStop is the container's preStop hook, or nil.
func preStop(c *corev1.Container) *corev1.LifecycleHandler {
	if c.Lifecycle == nil {
		return nil
	}
	return c.Lifecycle.PreStop
}

// probeGraces gives probes that restart containers the pod's own grace, since
// they inherit the pod's: killing a dead container must not take longer
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

// OwnGrace is the terminationGracePeriodSeconds that the pod's owner gave it,
// whatever injection made of it.
func OwnGrace(pod *corev1.Pod) int64 {
	own := ownGrace(&pod.Spec)
	r, injected := readRecord(pod)
	if !injected || own != r.GraceSet {
		return own
	}
	return ownGrace(&corev1.PodSpec{TerminationGracePeriodSeconds: r.Grace})
}
