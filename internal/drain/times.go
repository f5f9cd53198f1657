package drain

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// exitKilled is 128 + SIGKILL.
	exitKilled = 137

	// granularity of the API's timestamps: two of them may be a second
	// further apart, or closer, than the moments they stand for.
	granularity = time.Second

	// Reasons of terminated containers that the kubelet and the runtimes give.
	reasonOOMKilled     = "OOMKilled"
	reasonStatusUnknown = "ContainerStatusUnknown"
)

// times of a drain.
type times struct {
	// deleted is when the deletion was accepted; zero when there was none.
	deleted time.Time
	// asked is the grace of the deletion, own that of the pod.
	asked, own time.Duration
	// last is when the last container ended; zero when none is known to have.
	last time.Time
}

// timesOf reads them. Where the deletion's first state was not seen, what the
// last one says is taken: deletionTimestamp less the grace. The API server keeps
// that when the grace is shortened, but never moves it into the past: after a
// final deletion of grace 0 it is the time of that one.
func timesOf(e Ended) times {
	pod := e.Pod
	t := times{own: seconds(pod.Spec.TerminationGracePeriodSeconds)}
	t.asked = t.own
	if e.GraceSeconds != nil {
		t.asked = seconds(e.GraceSeconds)
	}
	switch {
	case !e.DeletedAt.IsZero():
		t.deleted = e.DeletedAt
	case pod.DeletionTimestamp != nil:
		t.deleted = pod.DeletionTimestamp.Add(-seconds(pod.DeletionGracePeriodSeconds))
	}
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated != nil && s.State.Terminated.FinishedAt.After(t.last) {
			t.last = s.State.Terminated.FinishedAt.Time
		}
	}
	return t
}

// elapsed from the accepted deletion to the end of a container.
func (t times) elapsed(state *corev1.ContainerStateTerminated) time.Duration {
	if t.deleted.IsZero() || state.FinishedAt.IsZero() {
		return 0
	}
	return state.FinishedAt.Sub(t.deleted)
}

// before says that a container had ended when the deletion came.
func (t times) before(state *corev1.ContainerStateTerminated) bool {
	return !t.deleted.IsZero() && !state.FinishedAt.IsZero() && state.FinishedAt.Before(&metav1.Time{Time: t.deleted.Add(-granularity)})
}

// killed says that a container got SIGKILL because its grace was spent. One
// that always exits with 137, by itself and earlier, was not.
func (t times) killed(state *corev1.ContainerStateTerminated) bool {
	return state.ExitCode == exitKilled && state.Reason != reasonOOMKilled &&
		!t.deleted.IsZero() && t.elapsed(state) >= t.asked-granularity
}

// cutShort says that a shorter grace than the pod's was asked for, and spent.
func (t times) cutShort(state *corev1.ContainerStateTerminated) bool {
	return t.asked < t.own && t.elapsed(state) >= t.asked-granularity
}

// duration in seconds from the deletion to the end of the last container. A
// pod that the kubelet evicted was not deleted when it drained: its longest hold.
func (t times) duration(pod *corev1.Pod, v verdict) int32 {
	if !observed(v.cause) {
		return 0
	}
	if t.deleted.IsZero() || t.last.Before(t.deleted) {
		return longestHold(pod)
	}
	return bounded32(t.last.Sub(t.deleted).Seconds())
}

// end of the last container, or else when the pod was seen to be gone.
func (t times) end(v verdict, seenAt time.Time) metav1.Time {
	if t.last.IsZero() || !observed(v.cause) {
		return metav1.NewTime(seenAt)
	}
	return metav1.NewTime(t.last)
}

// observed says whether the end of the containers was.
func observed(cause v1alpha1.Cause) bool {
	switch cause {
	case v1alpha1.CauseEndNotObserved, v1alpha1.CauseNodeLost, v1alpha1.CauseForceDeleted, v1alpha1.CauseNothingRan:
		return false
	}
	return true
}

func longestHold(pod *corev1.Pod) int32 {
	var held float64
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated == nil {
			continue
		}
		if r, ok, err := hold.ParseMessage(s.State.Terminated.Message); ok && err == nil {
			held = max(held, r.HeldSeconds)
		}
	}
	return bounded32(held)
}

func bounded32(seconds float64) int32 {
	return int32(min(math.Ceil(max(seconds, 0)), math.MaxInt32))
}

func seconds(n *int64) time.Duration {
	if n == nil {
		return corev1.DefaultTerminationGracePeriodSeconds * time.Second
	}
	return time.Duration(*n) * time.Second
}
