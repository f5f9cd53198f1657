package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// stopFor is the signal that the agent in a container sends when its hold
// ends; nil where it sends none. Only the containers that serve get one: what a
// helper beside them makes of it, nobody knows.
func (b *builder) stopFor(c *corev1.Container) *hold.Stop {
	if !b.wantsStop(c) || b.stopObstacle() != "" || ownStopSignal(c) != "" {
		return nil
	}
	until := min(max(b.times.grace-killSeconds, 0), maxReasonableSeconds)
	return &hold.Stop{Signal: b.set.stopSignal, UntilSeconds: int32(until)} //nolint:gosec // bounded
}

func (b *builder) wantsStop(c *corev1.Container) bool {
	return b.set.stopSignal != "" && b.serving.servers.Has(c.Name)
}

// ownStopSignal is the one that the container itself asks the kubelet for
// (KEP-4960), empty if none. It comes when the hook has ended, instead of SIGTERM.
func ownStopSignal(c *corev1.Container) corev1.Signal {
	if c.Lifecycle == nil {
		return ""
	}
	return ptr.Deref(c.Lifecycle.StopSignal, "")
}

// stopObstacle is why process 1 is not a container's own in this pod; empty if it is.
func (b *builder) stopObstacle() string {
	switch spec := &b.pod.Spec; {
	case spec.HostPID:
		return "the pod shares the node's processes (hostPID)"
	case ptr.Deref(spec.ShareProcessNamespace, false):
		return "the pod's containers share their processes (shareProcessNamespace)"
	}
	return ""
}

// addStopNotes says which of the containers that serve do not get the signal.
func (b *builder) addStopNotes() {
	for i := range b.pod.Spec.Containers {
		c := &b.pod.Spec.Containers[i]
		if !b.wantsStop(c) {
			continue
		}
		switch obstacle := b.stopObstacle(); {
		case ownStopSignal(c) != "":
			b.noteOn(c, NoteStopSignalKept, fmt.Sprintf("the container asks for %s itself: that follows the hold", ownStopSignal(c)))
		case !b.runsAgent(c):
			b.noteOn(c, NoteStopSignalNotSent, fmt.Sprintf("only the agent sends %s, and it does not run in this container: SIGTERM follows the hook", b.set.stopSignal))
		case obstacle != "":
			b.noteOn(c, NoteStopSignalNotSent, obstacle+", and process 1 is not the container's own: SIGTERM follows the hold")
		}
	}
}

func (b *builder) runsAgent(c *corev1.Container) bool {
	hook, injected := b.plannedHook(c)
	return injected && hook.RunsAgent()
}
