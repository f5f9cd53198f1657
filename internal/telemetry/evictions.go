package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/internal/eviction"
)

// Evictions counts what the eviction webhook answers. Dry runs do not count.
type Evictions struct{ results *prometheus.CounterVec }

// NewEvictions registers the metrics of the eviction webhook. Every series
// exists from the start, so that the first event is an increase.
func NewEvictions(registerer prometheus.Registerer) (*Evictions, error) {
	m := &Evictions{prometheus.NewCounterVec(prometheus.CounterOpts{Name: evictions.Name, Help: evictions.Help}, evictions.Labels)}
	for _, result := range eviction.Results {
		m.results.WithLabelValues(string(result))
	}
	if err := registerer.Register(m.results); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// Record implements the webhook's Recorder.
func (m *Evictions) Record(answer eviction.Answer) {
	m.results.WithLabelValues(string(answer.Result)).Inc()
}
