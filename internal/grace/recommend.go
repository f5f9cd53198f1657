// Package grace works out terminationGracePeriodSeconds from measurements, and
// says how. It is pure.
package grace

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const (
	// MinRequests is how many requests a percentile must stand on.
	MinRequests = 500

	// RequestsToShorten is how many it must stand on before pods get less than
	// their owner gave them. Of 500 requests, five decide about P99; what a
	// heavy tail still holds is not among them (docs/latency.md: of 500, a
	// third of the drains cut something where of 5,000 one in 25 does).
	RequestsToShorten = 5000
)

// Facts are all that a recommendation is worked out from.
type Facts struct {
	// Spec of the policy.
	Spec *v1alpha1.DrainPolicySpec
	// Latency over the window; nil when none could be seen now. What was
	// recommended before then stands.
	Latency *latency.Summary
	// Drains that ended, newest first.
	Drains []v1alpha1.DrainRecord
	// OwnSeconds is the longest grace that the owners of the covered pods gave them.
	OwnSeconds int64
	// Was is what the policy's status says now; nil at the first time.
	Was *v1alpha1.GraceStatus
	Now time.Time
}

// Recommend returns what the policy's status should say of the grace, and the
// history with this recommendation in it. AppliedSeconds is left as it was.
//
// With HoldSeconds set, a pod without a hook of its own gets exactly
// RecommendedSeconds from
//
//	clamp(min, max, HoldSeconds + shutdown)
//
// where shutdown is the spec's, else ShutdownSeconds, else the pod's own grace,
// which then is the least that it gets.
// Without HoldSeconds nothing is measured, and a pod gets what it would get
// without a source of latency: never less than its own.
func Recommend(f Facts, h History) (v1alpha1.GraceStatus, History) {
	r := newRound(f, h)
	switch {
	case r.sees() && (r.counted() || r.raises()):
		r.measured()
	case r.was.HoldSeconds != nil && r.set.source:
		r.stays()
	default:
		r.unmeasured()
	}
	r.history.at = f.Now
	r.history.known = r.shutdown.known
	return r.status, r.history
}

// round is one recommendation on its way.
type round struct {
	Facts
	set      settings
	own      int64 // OwnSeconds within bounds
	was      v1alpha1.GraceStatus
	drains   evidence
	shutdown shutdown
	need     need
	history  History
	status   v1alpha1.GraceStatus
}

func newRound(f Facts, h History) *round {
	r := &round{Facts: f, set: settingsOf(f.Spec), own: min(max(f.OwnSeconds, 0), maxReasonableSeconds)}
	if f.Was != nil {
		r.was = *f.Was.DeepCopy()
	}
	if h.interrupted(f.Now) {
		h = History{began: f.Now}
	}
	r.history = h
	r.drains = evidenceOf(f.Drains, f.Now.Add(-r.set.window))
	r.shutdown, r.history.shutdown = r.findShutdown()
	r.need = r.findNeed()
	r.status = r.carried()
	return r
}

// carried is what the status says whatever the recommendation becomes: the
// figures of this look, or the last ones that there were.
func (r *round) carried() v1alpha1.GraceStatus {
	s := v1alpha1.GraceStatus{AppliedSeconds: r.was.AppliedSeconds, ShutdownSeconds: r.shutdown.learned}
	if !r.set.source {
		return s
	}
	s.RaisedAt = r.was.RaisedAt
	if r.Latency == nil {
		s.Percentile, s.LatencyMilliseconds = r.was.Percentile, r.was.LatencyMilliseconds
		s.Requests, s.ObservedAt = r.was.Requests, r.was.ObservedAt
		return s
	}
	s.Percentile = r.set.percentile
	s.Requests = max(r.Latency.Requests, 0)
	at := r.Latency.At
	if at.IsZero() {
		at = r.Now
	}
	s.ObservedAt = ptr.To(metav1.NewTime(at))
	if r.sees() && !r.Latency.TooCoarse { // a figure that is too low is none
		s.LatencyMilliseconds = ptr.To(ceil(bounded(r.Latency.Latency), time.Millisecond))
	}
	return s
}

// sees says that there are requests to look at now. A bound that is too low, of
// who knows how many requests, is nothing to go by.
func (r *round) sees() bool {
	if !r.set.source || r.Latency == nil {
		return false
	}
	if r.Latency.RequestsUnknown {
		return !r.Latency.TooCoarse
	}
	return r.Latency.Requests > 0
}

// counted says that the latency stands on enough requests to be believed.
func (r *round) counted() bool {
	return !r.Latency.RequestsUnknown && r.Latency.Requests >= MinRequests
}

// raises says that a latency of unknown weight asks for more than stands: it
// may do no more than that. Where something measured stands already, measured
// sees to it.
func (r *round) raises() bool {
	if !r.Latency.RequestsUnknown || r.was.HoldSeconds != nil {
		return r.Latency.RequestsUnknown
	}
	_, asked := r.split(r.wanted())
	_, given := r.unmeasuredGrace()
	return asked > given
}
