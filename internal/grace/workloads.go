package grace

import (
	"slices"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// workloads are those whose requests are in the latency, sorted. A process that
// has looked for less than a window has not seen all of them: those that it
// found in the status stay until then, behind those that it has seen.
func (r *round) workloads() []string {
	if !r.set.pages {
		return nil
	}
	listed := slices.Clone(r.Latency.Workloads)
	if r.Now.Sub(r.history.began) < r.set.window {
		for _, w := range r.was.MeasuredWorkloads {
			if !slices.Contains(listed, w) {
				listed = append(listed, w)
			}
		}
	}
	listed = listed[:min(len(listed), v1alpha1.MaxMeasuredWorkloads)]
	slices.Sort(listed)
	return listed
}
