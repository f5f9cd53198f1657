package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/internal/injection"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// resultAgain counts pods that were injected before, apart from new ones.
const resultAgain = "InjectedAgain"

// Injections counts what the injection webhook answers. Dry runs do not count.
type Injections struct {
	results    *prometheus.CounterVec
	exclusions *prometheus.CounterVec
	notes      *prometheus.CounterVec
	duration   prometheus.Histogram
}

// NewInjections registers the metrics of the injection webhook. Every series
// exists from the start, so that the first event is an increase.
func NewInjections(registerer prometheus.Registerer) (*Injections, error) {
	m := &Injections{
		results:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: injections.Name, Help: injections.Help}, injections.Labels),
		exclusions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: exclusions.Name, Help: exclusions.Help}, exclusions.Labels),
		notes:      prometheus.NewCounterVec(prometheus.CounterOpts{Name: notes.Name, Help: notes.Help}, notes.Labels),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: answering.Name, Help: answering.Help,
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
	}
	for _, result := range injection.Results {
		m.results.WithLabelValues(string(result))
	}
	m.results.WithLabelValues(resultAgain)
	for _, reason := range plan.Exclusions {
		m.exclusions.WithLabelValues(string(reason))
	}
	for _, collector := range []prometheus.Collector{m.results, m.exclusions, m.notes, m.duration} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Record implements the webhook's Recorder.
func (m *Injections) Record(answer injection.Answer, took time.Duration) {
	result := string(answer.Result)
	if answer.Again && answer.Result == injection.ResultInjected {
		result = resultAgain
	}
	m.results.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
	if answer.Result == injection.ResultExcluded {
		m.exclusions.WithLabelValues(string(answer.Exclusion)).Inc()
	}
	if result == string(injection.ResultInjected) {
		for _, note := range answer.Plan.Notes {
			m.notes.WithLabelValues(string(note.Reason)).Inc()
		}
	}
}
