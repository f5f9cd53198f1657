// Package waiting decides when a hold ends: it takes what the agent sees, with
// the time since the hook began, and says what to look at next, or with which
// result to let go. It is pure, so that whole holds run in virtual time.
package waiting

import (
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
	"github.com/drain-operator/drain-operator/internal/rotation"
)

const (
	// followMargin is how long before the bound a container that follows
	// another lets go, so that it goes first even if the other never does.
	followMargin = 2 * time.Second

	// maxLastHook is what a hook that runs last gets of the bound at most,
	// unless it says itself how long it sleeps.
	maxLastHook = 5 * time.Second

	// staleAfter is how old the last good look at the sockets may be.
	staleAfter = 3 * time.Second
)

const reasonRestart = "liveness probe fails: restart, not a drain"

// Never is a time that does not come.
const Never = time.Duration(1<<63 - 1)

// Step is what to do next. Times are since the hook began; what is under way
// already is not to be begun again.
type Step struct {
	// Result ends the hold.
	Result *hold.Result
	// Look is when to look at the sockets.
	Look time.Duration
	// Ask is when to ask the status endpoint, AskWait the waitSeconds to ask
	// for (0: none), LongLived the policy by which to judge the answer.
	Ask       time.Duration
	AskWait   int
	LongLived drainstatus.LongLived
	// Probe is when to see whether the container is alive.
	Probe time.Duration
	// Wake is when to come back if nothing happens.
	Wake time.Duration
}

// Facts are what is known when the hook begins.
type Facts struct {
	// Age of the pod's network namespace; 0 if not known.
	Age time.Duration
	// SocketsRefused says why sockets cannot be looked at; empty if they can.
	SocketsRefused string
}

// Hold is the state of one hold.
type Hold struct {
	spec    hold.Spec
	facts   Facts
	bound   time.Duration
	rotated time.Duration
	out     bool

	rotation  *rotation.Rotation
	longLived longLived
	looks     looks
	status    status
	alive     alive
	trend     trend
	hooking   bool
	oldest    time.Duration
	ended     *hold.Result
}

// New begins a hold at time 0.
func New(spec hold.Spec, facts Facts) *Hold {
	return &Hold{
		spec:  spec,
		facts: facts,
		bound: bound(spec),
		rotation: rotation.New(rotation.Settings{
			Min: seconds(spec.PropagationSeconds), Max: seconds(spec.PropagationMaxSeconds),
			Blind: spec.Blind || facts.SocketsRefused != "",
			Ports: spec.ServePorts, Probes: probes(spec), Age: facts.Age,
		}),
		longLived: newLongLived(spec),

		looks:  newLooks(spec),
		status: newStatus(spec.HTTP),
		alive:  newAlive(spec.Alive),
	}
}

// bound is when the hold ends in any case, with what comes after it left out.
func bound(spec hold.Spec) time.Duration {
	b := seconds(spec.BoundSeconds)
	if e := spec.Existing; e != nil && e.Last {
		if e.SleepSeconds > 0 {
			b -= time.Duration(e.SleepSeconds) * time.Second
		} else {
			b -= min(maxLastHook, b/4)
		}
	}
	if spec.Role == hold.RoleFollow {
		b -= followMargin
	}
	return max(0, b)
}

// probes are the connections that the kubelet makes.
func probes(spec hold.Spec) []rotation.Probe {
	var ps []rotation.Probe
	for _, p := range spec.ReadinessProbes {
		if len(p.Exec) == 0 {
			ps = append(ps, rotation.Probe{Port: uint16(p.Port), Period: seconds(max(1, p.PeriodSeconds))})
		}
	}
	if p := spec.Alive; p != nil && len(p.Exec) == 0 {
		ps = append(ps, rotation.Probe{Port: uint16(p.Port), Period: seconds(max(1, p.PeriodSeconds)), PastOnly: true})
	}
	return ps
}

// Released ends the hold by hand.
func (h *Hold) Released(at time.Duration) {
	h.end(at, hold.OutcomeSkipped, "released by hand")
}

// Stopped ends the hold because the agent was told to end.
func (h *Hold) Stopped(at time.Duration) {
	h.end(at, hold.OutcomeUnknown, "the agent was told to end")
}

// HookBegan says that the container's own hook runs. Until HookEnded, the hold
// ends only at its bound; rotation is watched meanwhile.
func (h *Hold) HookBegan() { h.hooking = true }

// HookEnded says that the container's own hook has run.
func (h *Hold) HookEnded() { h.hooking = false }

// Look takes a look at the sockets, which cost some CPU time.
func (h *Hold) Look(at time.Duration, look inflight.Look, cost time.Duration) {
	h.rotation.Observe(at, look)
	h.looks.took(at, look, cost)
	if h.out && h.spec.TCP != nil {
		h.trend.took(at, h.looks.count.InFlight)
	}
}

// LookFailed says that a look could not be taken.
func (h *Hold) LookFailed(at time.Duration, why string) {
	h.rotation.Failed()
	h.looks.failed(at, why)
}

// Next says what to do at a time.
func (h *Hold) Next(at time.Duration) Step {
	h.decide(at)
	if h.ended != nil {
		return Step{Result: h.ended, Look: Never, Ask: Never, Probe: Never, Wake: at}
	}
	step := Step{Look: Never, Ask: Never, Probe: Never, Wake: h.bound}
	if h.facts.SocketsRefused == "" || h.spec.Role == hold.RoleFollow {
		step.Look = h.nextLook()
	}
	if h.hooking {
		return step
	}
	step.Probe = h.alive.next
	switch {
	case h.out && h.spec.HTTP != nil:
		h.nextAsk(at, &step)
	case !h.out && h.spec.Role == hold.RoleServe:
		step.Wake = min(step.Wake, h.rotation.Verdict(at).Next)
	}
	return step
}

// nextAsk is when and what to ask the status endpoint. When long-lived
// connections begin to count no longer, it is asked at once.
func (h *Hold) nextAsk(at time.Duration, step *Step) {
	over := h.longLived.over()
	if at >= over {
		over = Never
	}
	step.Ask, step.AskWait = h.status.nextAsk(at, min(h.bound, over))
	step.Ask = min(step.Ask, over)
	step.LongLived = h.longLived.standing(step.Ask)
}

// nextLook is when to look at the sockets, Never if they have nothing more to say.
func (h *Hold) nextLook() time.Duration {
	if h.spec.Role == hold.RoleServe && h.spec.TCP == nil && (h.out || h.spec.Blind) {
		return Never
	}
	return h.looks.next
}

func (h *Hold) decide(at time.Duration) {
	switch {
	case h.ended != nil, h.hooking && at < h.bound:
		return
	case h.hooking:
		h.end(at, hold.OutcomeTimedOut, "the container's own hook did not end")
		return
	case h.spec.Role == hold.RoleFollow:
		h.follow(at)
		return
	}
	if !h.out {
		if v := h.rotation.Verdict(at); v.Out {
			h.out, h.rotated = true, at
			h.trend.began = at
		}
	}
	switch {
	case h.alive.dead():
		h.end(at, hold.OutcomeSkipped, reasonRestart)
	case h.out && h.rotationIsAll():
		h.end(at, hold.OutcomeDrained, "")
	case h.out && h.spec.HTTP != nil:
		h.decideHTTP(at)
	case h.out:
		h.decideTCP(at)
	}
	if h.ended == nil && at >= h.bound {
		h.timedOut(at)
	}
}

// rotationIsAll says that the hold ends with rotation.
func (h *Hold) rotationIsAll() bool {
	return h.spec.ReleaseWhen == hold.ReleaseWhenOutOfRotation || h.spec.HTTP == nil && h.spec.TCP == nil
}

func (h *Hold) decideHTTP(at time.Duration) {
	switch {
	case h.status.drained():
		h.end(at, hold.OutcomeDrained, "")
	case h.status.givenUp(at):
		h.end(at, hold.OutcomeUnknown, "status unreadable: "+h.status.reason)
	}
}

func (h *Hold) decideTCP(at time.Duration) {
	switch {
	case h.facts.SocketsRefused != "":
		h.end(at, hold.OutcomeUnknown, "sockets unreadable: "+h.facts.SocketsRefused)
	case h.spec.Blind && len(h.spec.ServePorts) == 0:
		h.end(at, hold.OutcomeUnknown, "the sockets are not the pod's, and no ports are given")
	case h.looks.stale(at):
		h.end(at, hold.OutcomeUnknown, "sockets unreadable: "+h.looks.why)
	case h.looks.calm >= 2:
		h.end(at, hold.OutcomeDrained, "")
	}
}

// follow waits until the serving containers' listeners and connections are gone.
func (h *Hold) follow(at time.Duration) {
	switch {
	case h.looks.gone >= 2:
		h.end(at, hold.OutcomeDrained, "")
	case h.alive.dead():
		h.end(at, hold.OutcomeSkipped, reasonRestart)
	case at >= h.bound && h.looks.stale(at):
		h.end(at, hold.OutcomeUnknown, "sockets unreadable: "+h.looks.why)
	case at >= h.bound:
		h.end(at, hold.OutcomeTimedOut, "the container that serves has not ended")
	}
}

// timedOut ends the hold at its bound, with what is known of what was left.
func (h *Hold) timedOut(at time.Duration) {
	switch {
	case !h.out:
		h.end(at, hold.OutcomeTimedOut, "still in rotation: "+h.rotation.Verdict(at).Why)
	case h.spec.HTTP != nil && h.status.failures > 0:
		h.end(at, hold.OutcomeUnknown, "status unreadable: "+h.status.reason)
	case h.spec.HTTP != nil && h.status.answers == 0:
		h.end(at, hold.OutcomeUnknown, "no time was left to read the status")
	case h.spec.HTTP != nil:
		h.end(at, hold.OutcomeTimedOut, h.status.reason)
	default:
		h.end(at, hold.OutcomeTimedOut, fmt.Sprintf("%d connections in flight", h.looks.count.InFlight))
	}
}

func (h *Hold) end(at time.Duration, outcome, reason string) {
	if h.ended != nil {
		return
	}
	h.ended = &hold.Result{
		Outcome: outcome, HeldSeconds: at.Seconds(), RotationSeconds: h.rotated.Seconds(),
		InFlight: h.left(), OldestSeconds: wholeSeconds(h.oldest), Reason: reason,
	}
	if h.left() > 0 {
		h.ended.Trend = h.trend.verdict(at)
	}
}

// left is what was in flight at the last look.
func (h *Hold) left() int64 {
	if h.spec.HTTP != nil {
		return max(0, h.status.inFlight)
	}
	return h.looks.count.InFlight
}

// Rotation is what is known of rotation, for people.
func (h *Hold) Rotation(at time.Duration) rotation.Verdict { return h.rotation.Verdict(at) }

// Count is what the last look at the sockets came to.
func (h *Hold) Count() inflight.Count { return h.looks.count }

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }
