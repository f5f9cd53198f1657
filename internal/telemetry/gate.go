package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/internal/drain"
)

// GateAnswers counts what the gate answers. Dry runs do not count.
type GateAnswers struct{ requests, records *prometheus.CounterVec }

// NewGateAnswers registers the metrics of the gate. Every series of a refusal, of
// a failure and of these results exists from the start, so that the first event
// is an increase.
func NewGateAnswers(registerer prometheus.Registerer, results ...string) (*GateAnswers, error) {
	m := &GateAnswers{
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: gateRequests.Name, Help: gateRequests.Help}, gateRequests.Labels),
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: gateRecords.Name, Help: gateRecords.Help}, gateRecords.Labels),
	}
	for _, kind := range []drain.Kind{drain.Delete, drain.Evict} {
		for _, reason := range []drain.VerdictReason{drain.RefusedNotDrained, drain.AllowedFailed} {
			m.requests.WithLabelValues(string(kind), string(reason))
		}
	}
	for _, result := range results {
		m.records.WithLabelValues(result)
	}
	for _, collector := range []prometheus.Collector{m.requests, m.records} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

// Answered counts one answer.
func (m *GateAnswers) Answered(kind drain.Kind, reason drain.VerdictReason) {
	m.requests.WithLabelValues(string(kind), string(reason)).Inc()
}

// Recorded counts what became of one wish.
func (m *GateAnswers) Recorded(result string) { m.records.WithLabelValues(result).Inc() }
