package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Recorder counts what the operator does. It is safe for concurrent use.
type Recorder struct {
	drains, injections, exclusions, notes, failures *prometheus.CounterVec
	duration                                        *prometheus.HistogramVec
	draining                                        *prometheus.GaugeVec
	dropped                                         prometheus.Counter
}

// New registers the metrics. It fails when they are registered already.
func New(registry prometheus.Registerer) (*Recorder, error) {
	r := &Recorder{
		drains:     counter(drains),
		injections: counter(injections),
		exclusions: counter(exclusions),
		notes:      counter(notes),
		failures:   counter(failures),
		duration: prometheus.NewHistogramVec(
			prometheus.HistogramOpts{Name: duration.Name, Help: duration.Help, Buckets: buckets}, duration.Labels),
		draining: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: draining.Name, Help: draining.Help}, draining.Labels),
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: dropped.Name, Help: dropped.Help}),
	}
	for _, c := range []prometheus.Collector{
		r.drains, r.duration, r.draining, r.dropped, r.injections, r.exclusions, r.notes, r.failures,
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return r, nil
}

func counter(d Definition) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.Labels)
}

// Injected counts a pod that was injected. delivery says how the agent gets
// into it, or None.
func (r *Recorder) Injected(namespace, policy, delivery string) {
	r.injections.WithLabelValues(namespace, policy, delivery).Inc()
}

// Excluded counts a pod that was selected and left alone.
func (r *Recorder) Excluded(reason string) { r.exclusions.WithLabelValues(reason).Inc() }

// Noted counts an injection that could not do all that its policy asks for.
func (r *Recorder) Noted(reason string) { r.notes.WithLabelValues(reason).Inc() }

// Failed counts a pod that was admitted without injection because it failed.
func (r *Recorder) Failed(reason string) { r.failures.WithLabelValues(reason).Inc() }

// Drained counts a drain that ended and was published.
func (r *Recorder) Drained(namespace, policy string, d v1alpha1.DrainRecord) {
	r.drains.WithLabelValues(namespace, policy, string(d.Outcome)).Inc()
	switch d.Cause {
	case v1alpha1.CauseEndNotObserved, v1alpha1.CauseNodeLost, v1alpha1.CauseForceDeleted, v1alpha1.CauseNothingRan:
	default:
		r.duration.WithLabelValues(namespace, policy).Observe(float64(d.DurationSeconds))
	}
}

// Draining sets how many pods of a policy are terminating.
func (r *Recorder) Draining(namespace, policy string, pods int) {
	r.draining.WithLabelValues(namespace, policy).Set(float64(pods))
}

// Dropped counts an ended drain that was forgotten uncounted.
func (r *Recorder) Dropped() { r.dropped.Inc() }

// Forget removes what carries a policy's name, once it is gone.
func (r *Recorder) Forget(namespace, policy string) {
	labels := prometheus.Labels{labelNamespace: namespace, labelPolicy: policy}
	r.drains.DeletePartialMatch(labels)
	r.duration.DeletePartialMatch(labels)
	r.draining.DeletePartialMatch(labels)
	r.injections.DeletePartialMatch(labels)
}
