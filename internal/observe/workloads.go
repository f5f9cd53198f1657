package observe

import (
	"maps"
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// workloads is when pods of a workload were last seen to have served requests.
// It has at most 64 workloads of 317 bytes; one that finds no room is not told.
type workloads map[string]time.Time

func (w workloads) note(of plan.Workload, now time.Time) {
	name := of.String()
	_, known := w[name]
	if len(name) > v1alpha1.MaxMeasuredWorkloadBytes || !known && len(w) >= v1alpha1.MaxMeasuredWorkloads {
		return
	}
	w[name] = now
}

// within lets go of those that a window of that length has no requests of, and
// returns the others, sorted. For a clock that was put back no time has passed.
func (w workloads) within(now time.Time, length time.Duration) []string {
	for name, at := range w {
		switch {
		case at.After(now):
			w[name] = now
		case now.Sub(at) >= length:
			delete(w, name)
		}
	}
	return slices.Sorted(maps.Keys(w))
}
