package telemetry

import (
	"cmp"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// resultSeen counts looks that saw something.
const resultSeen = "Seen"

// Graces shows what graces are worked out from. It is safe for concurrent use.
type Graces struct {
	latency, residual, requests, recommended *prometheus.GaugeVec

	looks    *prometheus.CounterVec
	duration prometheus.Histogram
}

// NewGraces registers the metrics. It fails when they are registered already.
func NewGraces(registry prometheus.Registerer) (*Graces, error) {
	gauge := func(d Definition) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.Labels)
	}
	g := &Graces{
		latency:     gauge(latencySeen),
		residual:    gauge(residualSeen),
		requests:    gauge(requestsSeen),
		recommended: gauge(recommendedGrace),
		looks:       prometheus.NewCounterVec(prometheus.CounterOpts{Name: lookResults.Name, Help: lookResults.Help}, lookResults.Labels),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: lookDuration.Name, Help: lookDuration.Help, Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
	}
	for _, c := range []prometheus.Collector{g.latency, g.residual, g.requests, g.recommended, g.looks, g.duration} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return g, nil
}

// Looked counts a look. The reason is empty when something was seen.
func (g *Graces) Looked(reason string, took time.Duration) {
	g.looks.WithLabelValues(cmp.Or(reason, resultSeen)).Inc()
	g.duration.Observe(took.Seconds())
}

// Recommended shows the last look at a policy's pods, nil when nothing could
// be seen, and what came of it.
func (g *Graces) Recommended(namespace, policy string, seen *latency.Summary, r *v1alpha1.GraceStatus) {
	g.recommended.WithLabelValues(namespace, policy).Set(float64(r.RecommendedSeconds))
	if seen == nil {
		for _, vec := range g.seen() {
			vec.DeleteLabelValues(namespace, policy)
		}
		return
	}
	g.latency.WithLabelValues(namespace, policy).Set(seen.Latency.Seconds())
	g.residual.WithLabelValues(namespace, policy).Set(seen.Residual.Seconds())
	g.requests.WithLabelValues(namespace, policy).Set(float64(seen.Requests))
}

// Forget removes what carries a policy's name, once it is gone.
func (g *Graces) Forget(namespace, policy string) {
	for _, vec := range append(g.seen(), g.recommended) {
		vec.DeleteLabelValues(namespace, policy)
	}
}

func (g *Graces) seen() []*prometheus.GaugeVec {
	return []*prometheus.GaugeVec{g.latency, g.residual, g.requests}
}
