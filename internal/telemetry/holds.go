package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/internal/drain"
)

var (
	holdsEnded = Definition{
		Name:   "drain_operator_holds_total",
		Kind:   Counter,
		Labels: []string{labelNamespace, labelPolicy, "end"},
		Help:   "Holds of deletions that ended, by how.",
		Notes: "Counted by the leader only. Ends: Drained, BoundReached, StatusUnreadable, NotHeld (the policy no longer holds it), NothingRuns, " +
			"TakenBack, Expired, Gone (somebody else's deletion went through).",
	}
	holdDuration = Definition{
		Name:   "drain_operator_hold_duration_seconds",
		Kind:   Histogram,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "Time from the first refused deletion or eviction of a pod to the end of its hold.",
		Notes:  "Counted by the leader only.",
	}
	heldPods = Definition{
		Name:   "drain_operator_held_pods",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "Pods whose deletion or eviction is refused now.",
		Notes:  "Set by the leader only.",
	}
)

// Holds counts holds of deletions. It is safe for concurrent use.
type Holds struct {
	ended    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	held     *prometheus.GaugeVec
}

// NewHolds registers the metrics. It fails when they are registered already.
func NewHolds(registry prometheus.Registerer) (*Holds, error) {
	h := &Holds{
		ended:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: holdsEnded.Name, Help: holdsEnded.Help}, holdsEnded.Labels),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: holdDuration.Name, Help: holdDuration.Help, Buckets: buckets}, holdDuration.Labels),
		held:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: heldPods.Name, Help: heldPods.Help}, heldPods.Labels),
	}
	for _, c := range []prometheus.Collector{h.ended, h.duration, h.held} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return h, nil
}

// Held shows how many pods of a policy are held now.
func (h *Holds) Held(namespace, policy string, pods int32) {
	h.held.WithLabelValues(namespace, policy).Set(float64(pods))
}

// Ended counts the end of a hold.
func (h *Holds) Ended(namespace, policy string, end drain.HoldEnd, held time.Duration) {
	h.ended.WithLabelValues(namespace, policy, string(end)).Inc()
	h.duration.WithLabelValues(namespace, policy).Observe(held.Seconds())
}

// Forget removes what carries a policy's name, once it is gone.
func (h *Holds) Forget(namespace, policy string) {
	labels := prometheus.Labels{labelNamespace: namespace, labelPolicy: policy}
	h.ended.DeletePartialMatch(labels)
	h.duration.DeletePartialMatch(labels)
	h.held.DeletePartialMatch(labels)
}
