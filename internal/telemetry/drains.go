package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Drains counts what became of drains. It is safe for concurrent use.
type Drains struct {
	ended    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	draining *prometheus.GaugeVec
	dropped  prometheus.Counter
}

// NewDrains registers the metrics. It fails when they are registered already.
func NewDrains(registry prometheus.Registerer) (*Drains, error) {
	r := &Drains{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: drains.Name, Help: drains.Help}, drains.Labels),
		duration: prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: duration.Name, Help: duration.Help, Buckets: buckets}, duration.Labels),
		draining: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: draining.Name, Help: draining.Help}, draining.Labels),
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: dropped.Name, Help: dropped.Help}),
	}
	for _, c := range []prometheus.Collector{r.ended, r.duration, r.draining, r.dropped} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return r, nil
}

// Drained counts a drain that ended and was published.
func (r *Drains) Drained(namespace, policy string, d v1alpha1.DrainRecord) {
	r.ended.WithLabelValues(namespace, policy, string(d.Outcome)).Inc()
	switch d.Cause {
	case v1alpha1.CauseEndNotObserved, v1alpha1.CauseNodeLost, v1alpha1.CauseForceDeleted, v1alpha1.CauseNothingRan:
	default:
		r.duration.WithLabelValues(namespace, policy).Observe(float64(d.DurationSeconds))
	}
}

// Draining sets how many pods of a policy are terminating.
func (r *Drains) Draining(namespace, policy string, pods int) {
	r.draining.WithLabelValues(namespace, policy).Set(float64(pods))
}

// Dropped counts an ended drain that was forgotten uncounted.
func (r *Drains) Dropped() { r.dropped.Inc() }

// Forget removes what carries a policy's name, once it is gone.
func (r *Drains) Forget(namespace, policy string) {
	labels := prometheus.Labels{labelNamespace: namespace, labelPolicy: policy}
	r.ended.DeletePartialMatch(labels)
	r.duration.DeletePartialMatch(labels)
	r.draining.DeletePartialMatch(labels)
}
