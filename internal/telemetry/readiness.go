package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// readinessGate is measured by the replica's own clock: a pod's creation is
// told in whole seconds only, which is longer than all that is measured here.
var readinessGate = Definition{
	Name: "drain_operator_readiness_gate_seconds",
	Kind: Histogram,
	Help: "Time from when a replica first saw a pod whose readiness gate was not set until it had set it.",
	Notes: "Counted by the replica that set it: the leader, or another one half a second later. " +
		"Of pods that were there before the replica, from their creation.",
}

// ReadinessGates shows how soon readiness gates are set. It is safe for
// concurrent use.
type ReadinessGates struct{ duration prometheus.Histogram }

// NewReadinessGates registers the metric.
func NewReadinessGates(registerer prometheus.Registerer) (*ReadinessGates, error) {
	m := &ReadinessGates{prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: readinessGate.Name, Help: readinessGate.Help,
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300},
	})}
	if err := registerer.Register(m.duration); err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	return m, nil
}

// Set counts a gate that was set.
func (m *ReadinessGates) Set(took time.Duration) { m.duration.Observe(took.Seconds()) }
