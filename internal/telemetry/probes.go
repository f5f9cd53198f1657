package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

var (
	probeResults = Definition{
		Name:   "drain_operator_probe_results_total",
		Kind:   Counter,
		Labels: []string{"result"},
		Help:   "Looks of the operator at a pod's drain status under hold Deletion, by result: Drained, Busy, Unreadable.",
		Notes:  "Counted by the leader only.",
	}
	probeDuration = Definition{
		Name:  "drain_operator_probe_duration_seconds",
		Kind:  Histogram,
		Help:  "Time that such a look took, from the connection to the end of the answer.",
		Notes: "Counted by the leader only.",
	}
)

// Probes counts looks at drain statuses. It is safe for concurrent use.
type Probes struct {
	results  *prometheus.CounterVec
	duration prometheus.Histogram
}

// NewProbes registers the metrics. It fails when they are registered already.
func NewProbes(registry prometheus.Registerer) (*Probes, error) {
	p := &Probes{
		results: prometheus.NewCounterVec(prometheus.CounterOpts{Name: probeResults.Name, Help: probeResults.Help}, probeResults.Labels),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: probeDuration.Name, Help: probeDuration.Help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
	for _, c := range []prometheus.Collector{p.results, p.duration} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return p, nil
}

// Asked counts a look.
func (p *Probes) Asked(_ types.NamespacedName, reading drainstatus.Reading, took time.Duration) {
	p.results.WithLabelValues(string(reading.State)).Inc()
	p.duration.Observe(took.Seconds())
}
