// Package drain works out what became of a drain, from the last that was seen
// of its pod. It is pure.
package drain

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Ended is a pod that is gone, as it was last seen.
type Ended struct {
	// Pod is its last state: that of the deletion event, or an older one when
	// that event was missed.
	Pod *corev1.Pod

	// Missed says that the pod is known to be gone, but its deletion was not seen.
	Missed bool

	// GraceSeconds is the grace that the deletion asked for, nil when it was
	// not seen. The pod's last state does not tell: the kubelet ends a pod
	// with a deletion of grace 0, which the API server writes into it.
	GraceSeconds *int64

	// DeletedAt is when the deletion was accepted, as its first state told;
	// zero when that was not seen. The last state does not tell: the API
	// server moves deletionTimestamp to the final deletion.
	DeletedAt time.Time

	// FailedHooks are the containers for which the kubelet reported FailedPreStopHook.
	FailedHooks map[string]bool

	// SeenAt is when the pod was seen to be gone.
	SeenAt time.Time
}

// verdict is what a rule says of a drain.
type verdict struct {
	outcome  v1alpha1.Outcome
	cause    v1alpha1.Cause
	reason   string
	inFlight int64
}

// rules in the order in which they are asked; the first that knows decides.
var rules = []func(Ended, times) (verdict, bool){
	neverStarted,
	endNotSeen,
	removedWhileRunning,
	heldByAgent,
	heldByOther,
}

// Judge says how a drain ended. Every pod gets exactly one record.
func Judge(e Ended) v1alpha1.DrainRecord {
	t := timesOf(e)
	v := decide(e, t)
	m := measure(e.Pod, t, v)
	return v1alpha1.DrainRecord{
		Pod:             e.Pod.Name,
		UID:             string(e.Pod.UID),
		Outcome:         v.outcome,
		Cause:           v.cause,
		Reason:          v.reason,
		InFlight:        v.inFlight,
		DurationSeconds: t.duration(e.Pod, v),
		EndedAt:         t.end(v, e.SeenAt),

		PropagationSeconds: m.propagation,
		DrainSeconds:       m.drain,
		ShutdownSeconds:    m.shutdown,
		InFlightTrend:      m.trend,

		OldestLongLivedSeconds: m.oldest,
	}
}

// NotObserved is the record of a drain that was seen to start, and whose end
// no replica of the operator saw.
func NotObserved(p v1alpha1.DrainingPod, now time.Time) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{
		Pod:     p.Name,
		UID:     p.UID,
		Outcome: v1alpha1.OutcomeUnknown,
		Cause:   v1alpha1.CauseEndNotObserved,
		Reason:  "the pod went while no replica of the operator was watching",
		EndedAt: metav1.NewTime(now),
	}
}

func decide(e Ended, t times) verdict {
	for _, rule := range rules {
		if v, ok := rule(e, t); ok {
			return v
		}
	}
	return verdict{outcome: v1alpha1.OutcomeSkipped, cause: v1alpha1.CauseNoHook, reason: "the pod has no preStop hook"}
}

// neverStarted: deleted before a container ran. A pod whose deletion was
// missed may have started since it was last seen.
func neverStarted(e Ended, _ times) (verdict, bool) {
	if e.Missed || anyContainer(e.Pod, started) {
		return verdict{}, false
	}
	return verdict{
		outcome: v1alpha1.OutcomeSkipped,
		cause:   v1alpha1.CauseNothingRan,
		reason:  "no container had started",
	}, true
}

// endNotSeen: the last state has running containers, and the object went for
// want of a node or unseen.
func endNotSeen(e Ended, _ times) (verdict, bool) {
	switch {
	case allEnded(e.Pod):
		return verdict{}, false
	case nodeLost(e.Pod):
		return verdict{
			outcome: v1alpha1.OutcomeUnknown,
			cause:   v1alpha1.CauseNodeLost,
			reason:  "the node is gone: " + e.Pod.Spec.NodeName,
		}, true
	case e.Missed:
		return verdict{
			outcome: v1alpha1.OutcomeUnknown,
			cause:   v1alpha1.CauseEndNotObserved,
			reason:  "the pod's last state was not seen",
		}, true
	}
	return verdict{}, false
}

// removedWhileRunning: the kubelet removes a pod only when its containers have
// ended. Whoever removed this one did not wait.
func removedWhileRunning(e Ended, _ times) (verdict, bool) {
	if allEnded(e.Pod) {
		return verdict{}, false
	}
	return verdict{
		outcome: v1alpha1.OutcomeForced,
		cause:   v1alpha1.CauseForceDeleted,
		reason:  "the object was deleted with a grace of 0 while containers were running",
	}, true
}

// heldByOther: no container of the pod ran the agent.
func heldByOther(e Ended, t times) (verdict, bool) {
	for i := range e.Pod.Spec.Containers {
		c := &e.Pod.Spec.Containers[i]
		if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
			continue
		}
		if state := terminated(e.Pod, c.Name); state != nil && t.killed(state) {
			return t.forced(), true
		}
		return verdict{
			outcome: v1alpha1.OutcomeUnknown,
			cause:   v1alpha1.CauseNoStatus,
			reason:  nameOf(c.Lifecycle.PreStop) + " held the pod: nobody read a drain status",
		}, true
	}
	return verdict{}, false
}

func nameOf(hook *corev1.LifecycleHandler) string {
	if hook.Sleep != nil {
		return fmt.Sprintf("a sleep hook of %d s", hook.Sleep.Seconds)
	}
	return "the container's own hook"
}
