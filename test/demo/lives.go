package demo

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// Observation is a pod as it was seen at a time, Gone if its object was deleted.
type Observation struct {
	At   time.Time
	Pod  *corev1.Pod
	Gone bool
}

// Life is what was seen of one pod. Times that were not seen are zero.
type Life struct {
	Name     string
	Injected bool
	// Grace is the pod's terminationGracePeriodSeconds, once its owner's word
	// was worked over; 0 where it says nothing.
	Grace int64
	Ready time.Time
	// Deleted is when the accepted deletion was seen, Gone when the object was.
	Deleted, Gone time.Time
	// Exited is when the workload's container was seen to have ended.
	Exited time.Time
	// Terminated is when SIGTERM reached the workload: by its own log, or else
	// by what the agent says of how long it held it back.
	Terminated time.Time
	// ExitCode of the workload's container; 137 is SIGKILL.
	ExitCode int32
	// Outcome is what the agent said in the termination message, if anything.
	Outcome string
	// OutcomeReason says why in words.
	OutcomeReason string
}

// Held is the time from the accepted deletion to SIGTERM or, where nobody says
// when that was, to the end of its container; 0 as long as neither was seen.
func (l Life) Held() time.Duration {
	switch {
	case l.Deleted.IsZero():
		return 0
	case !l.Terminated.IsZero():
		return max(0, l.Terminated.Sub(l.Deleted))
	case !l.Exited.IsZero():
		return max(0, l.Exited.Sub(l.Deleted))
	case !l.Gone.IsZero():
		return max(0, l.Gone.Sub(l.Deleted))
	}
	return 0
}

// Took is the time from the accepted deletion until the pod was gone, 0 as long
// as it is not.
func (l Life) Took() time.Duration {
	if l.Deleted.IsZero() || l.Gone.IsZero() {
		return 0
	}
	return max(0, l.Gone.Sub(l.Deleted))
}

// Draining says whether the pod is deleted and still there.
func (l Life) Draining() bool { return !l.Deleted.IsZero() && l.Gone.IsZero() }

// Lives folds observations, in the order they were made, into one life per pod,
// ordered by deletion, pods that were not deleted last. terminated is when each
// pod, by name, logged SIGTERM.
func Lives(observations []Observation, terminated map[string]time.Time) []Life {
	byUID := map[string]*Life{}
	var order []*Life
	for _, o := range observations {
		uid := string(o.Pod.UID)
		life, known := byUID[uid]
		if !known {
			life = &Life{
				Name: o.Pod.Name, Injected: o.Pod.Labels[v1alpha1.LabelInjected] == "true", Terminated: terminated[o.Pod.Name],
				Grace: ptr.Deref(o.Pod.Spec.TerminationGracePeriodSeconds, 0),
			}
			byUID[uid] = life
			order = append(order, life)
		}
		life.see(o)
	}
	lives := make([]Life, 0, len(order))
	for _, l := range order {
		lives = append(lives, *l)
	}
	slices.SortStableFunc(lives, byDeletion)
	return lives
}

func byDeletion(a, b Life) int {
	switch {
	case a.Deleted.IsZero() && b.Deleted.IsZero():
		return 0
	case a.Deleted.IsZero():
		return 1
	case b.Deleted.IsZero():
		return -1
	}
	return a.Deleted.Compare(b.Deleted)
}

func (l *Life) see(o Observation) {
	first(&l.Ready, o.At, isReady(o.Pod))
	first(&l.Deleted, o.At, o.Pod.DeletionTimestamp != nil || o.Gone)
	first(&l.Gone, o.At, o.Gone)
	for _, c := range o.Pod.Status.ContainerStatuses {
		t := c.State.Terminated
		if t == nil {
			continue
		}
		first(&l.Exited, o.At, true)
		l.ExitCode = t.ExitCode
		// An unreadable line is shown as one: it would be a fault of ours.
		if r, ok, err := hold.ParseMessage(t.Message); err != nil {
			l.Outcome, l.OutcomeReason = hold.OutcomeUnknown, err.Error()
		} else if ok {
			l.Outcome, l.OutcomeReason = r.Outcome, r.Reason
			held := time.Duration(r.HeldSeconds * float64(time.Second))
			first(&l.Terminated, l.Deleted.Add(held), !l.Deleted.IsZero())
		}
	}
}

func first(t *time.Time, at time.Time, seen bool) {
	if seen && t.IsZero() {
		*t = at
	}
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
