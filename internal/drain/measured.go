package drain

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// leastAfterHook is what the kubelet leaves a container after its hook,
	// however much of the grace the hook took.
	leastAfterHook = 2 * time.Second

	// slack is what a hold may seem to take beyond the grace.
	slack = leastAfterHook + granularity
)

// measured are figures from the agent's lines. What could not be seen, or
// cannot be, is nil or empty: a missing figure changes nothing, a wrong one does.
type measured struct {
	propagation, drain, shutdown *int32
	// oldest long-lived connection at the beginning.
	oldest *int32
	trend  v1alpha1.Trend
}

// measure takes the longest of the containers that serve, and the longest
// shutdown of all that have a line.
func measure(pod *corev1.Pod, t times, v verdict) measured {
	var m measured
	if !observed(v.cause) {
		return m
	}
	for _, c := range agentContainers(pod) {
		if r, _, found := said(pod, c.Name); found && t.plausible(r) {
			m.add(r)
			m.oldest = t.older(m.oldest, pod, r)
		}
	}
	m.shutdown = t.shutdown(pod)
	return m
}

// said is what the agent said of a container, and how the container ended.
func said(pod *corev1.Pod, container string) (hold.Result, *corev1.ContainerStateTerminated, bool) {
	state := terminated(pod, container)
	if state == nil {
		return hold.Result{}, nil, false
	}
	r, found, err := hold.ParseMessage(state.Message)
	return r, state, found && err == nil
}

// plausible says that a hold was not longer than its grace: the workload can
// write to the termination message, too.
func (t times) plausible(r hold.Result) bool { return r.HeldSeconds <= t.limit() }

// limit in seconds of anything that the kubelet lets go on while a pod ends.
func (t times) limit() float64 { return (max(t.asked, t.own) + slack).Seconds() }

// add takes a result of a container that serves.
func (m *measured) add(r hold.Result) {
	if drained := milliseconds(r.HeldSeconds - r.LastHookSeconds - r.RotationSeconds); r.RotationSeconds > 0 && drained >= 0 {
		m.propagation = longest(m.propagation, r.RotationSeconds)
		m.drain = longest(m.drain, drained)
	}
	switch {
	case r.InFlight == 0:
	case r.Trend == hold.TrendSteady: // of two that serve, one that leaks is enough
		m.trend = v1alpha1.TrendSteady
	case r.Trend == hold.TrendFalling && m.trend == "":
		m.trend = v1alpha1.TrendFalling
	}
}

// older takes how old a result says that a connection was. None is older than
// its pod.
func (t times) older(so *int32, pod *corev1.Pod, r hold.Result) *int32 {
	lived := t.deleted.Sub(pod.CreationTimestamp.Time) + granularity
	if r.OldestSeconds <= 0 || time.Duration(min(r.OldestSeconds, math.MaxInt32))*time.Second > lived {
		return so
	}
	return longest(so, float64(r.OldestSeconds))
}

// shutdown is the longest time from the end of a hold, when SIGTERM came, to
// the container's end, rounded up; nil if that of one with a line is not known.
func (t times) shutdown(pod *corev1.Pod) *int32 {
	var most *int32
	for _, c := range pod.Spec.Containers {
		if !hasAgentHook(c) {
			continue
		}
		r, state, found := said(pod, c.Name)
		if !found {
			continue
		}
		took, ok := t.afterHold(r, state)
		if !ok {
			return nil
		}
		most = longest(most, took)
	}
	return most
}

// afterHold is the time in seconds from the end of a hold to the container's
// end, at most a second too long: the API has cut finishedAt to whole seconds.
// ok is false where the process was killed, where SIGTERM was not the end of a
// drain (released by hand, restarted), and where the clock was set meanwhile:
// an end before the hold's, or after the kubelet would have killed it.
func (t times) afterHold(r hold.Result, state *corev1.ContainerStateTerminated) (seconds float64, ok bool) {
	if r.EndedUnix == 0 || !t.plausible(r) || state.FinishedAt.IsZero() || state.ExitCode == exitKilled || r.Outcome == hold.OutcomeSkipped {
		return 0, false
	}
	took := float64(state.FinishedAt.Unix()) + granularity.Seconds() - r.EndedUnix
	return took, took > 0 && took <= t.limit()
}

// longest of a figure so far, nil for none, and another in seconds, rounded up
// from milliseconds.
func longest(so *int32, seconds float64) *int32 {
	n := bounded32(milliseconds(seconds))
	if so != nil {
		n = max(n, *so)
	}
	return &n
}

// milliseconds are what the agent tells; a difference has more digits.
func milliseconds(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
