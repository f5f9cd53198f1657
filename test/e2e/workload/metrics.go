package main

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the workload tells of itself. Probes are in the histogram,
// too, as they are with many servers: whoever wants the latency of the work
// has to choose its path.
type metrics struct {
	registry *prometheus.Registry
	latency  *prometheus.HistogramVec
}

// latencyBounds go from 14 ms to 70 s, each half as much again as the one
// before; test/e2e/framework has their twin.
var latencyBounds = prometheus.ExponentialBuckets(0.014, 1.5, 22)

func newMetrics(inFlight func() int) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "workload_request_duration_seconds", Help: "How long requests took, by path.", Buckets: latencyBounds,
		}, []string{"path"}),
	}
	gauge := func(kind string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "workload_in_flight", Help: "Requests under way.", ConstLabels: prometheus.Labels{"kind": kind},
		}, value)
	}
	m.registry.MustRegister(m.latency,
		gauge("http", func() float64 { return float64(inFlight()) }),
		gauge("stuck", func() float64 { return 7 }))
	return m
}

// timed tells how long requests of a path took, those that were given up, too.
func (m *metrics) timed(path string, next http.HandlerFunc) http.HandlerFunc {
	took := m.latency.WithLabelValues(path)
	return func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() { took.Observe(time.Since(began).Seconds()) }()
		next(rw, r)
	}
}

func (m *metrics) page() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
