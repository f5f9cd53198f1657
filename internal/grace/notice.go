package grace

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	// latencyEvery is how often a latency that changes nothing else is told: one
	// that wavers between two buckets would be with every look. Likewise the
	// workloads that it is of.
	latencyEvery = 15 * time.Minute

	// fewRequests is when a policy that had enough requests has lost them. Less
	// than MinRequests: around that, the number wavers.
	fewRequests = MinRequests * 4 / 5
)

// Noticeable says that a person would notice the difference, so that a write
// is due: of the grace, its parts, the grace that pods have, of the latency by
// more than a tenth and of the workloads that it is of (every quarter of an hour
// at most, when nothing else changed), and of having enough requests. Otherwise
// the old status is to be kept: the number of requests, the time of the look and
// the wording change always.
func Noticeable(old, now *v1alpha1.GraceStatus) bool {
	if old == nil || now == nil {
		return old != now
	}
	return old.RecommendedSeconds != now.RecommendedSeconds ||
		!ptr.Equal(old.HoldSeconds, now.HoldSeconds) ||
		!ptr.Equal(old.ShutdownSeconds, now.ShutdownSeconds) ||
		!ptr.Equal(old.AppliedSeconds, now.AppliedSeconds) ||
		!sameSecond(old.RaisedAt, now.RaisedAt) ||
		old.Percentile != now.Percentile ||
		requestsCrossed(old.Requests, now.Requests) ||
		workloadsMoved(old, now) ||
		latencyMoved(old, now)
}

// sameSecond: the API keeps no more of a time.
func sameSecond(a, b *metav1.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Unix() == b.Unix()
}

func requestsCrossed(old, now int64) bool {
	if old >= MinRequests {
		return now < fewRequests
	}
	return now >= MinRequests
}

// workloadsMoved: the first ones count at once, since without them no pod gets
// less than its own grace.
func workloadsMoved(old, now *v1alpha1.GraceStatus) bool {
	if len(old.MeasuredWorkloads) > 0 && toldLately(old, now) {
		return false
	}
	return !slices.Equal(old.MeasuredWorkloads, now.MeasuredWorkloads)
}

func toldLately(old, now *v1alpha1.GraceStatus) bool {
	return old.ObservedAt != nil && now.ObservedAt != nil && now.ObservedAt.Sub(old.ObservedAt.Time) < latencyEvery
}

func latencyMoved(old, now *v1alpha1.GraceStatus) bool {
	a, b := old.LatencyMilliseconds, now.LatencyMilliseconds
	switch {
	case toldLately(old, now):
		return false
	case a == nil || b == nil:
		return a != b
	case now.Requests > 0 && now.Requests < MinRequests: // of too few requests, it leaps
		return false
	}
	return max(*a-*b, *b-*a)*10 > *a
}
