package telemetry

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	certificateNotBefore = Definition{
		Name:  "drain_operator_webhook_certificate_not_before_timestamp_seconds",
		Kind:  Gauge,
		Help:  "Since when the webhook's certificate is valid, as Unix time.",
		Notes: certificateNotes,
	}
	certificateNotAfter = Definition{
		Name:  "drain_operator_webhook_certificate_not_after_timestamp_seconds",
		Kind:  Gauge,
		Help:  "Until when the webhook's certificate is valid, as Unix time.",
		Notes: certificateNotes + " It is renewed when a third of its time is left.",
	}
)

const certificateNotes = "Each replica tells that of the certificate that it shows; nothing before there is one."

// servingCertificate reads the certificate's times when it is scraped: a replica
// may show another one at any time.
type servingCertificate struct {
	shown               func() (notBefore, notAfter time.Time, ok bool)
	notBefore, notAfter *prometheus.Desc
}

// RegisterCertificate registers the metrics of the certificate that shown tells
// of; ok is false while there is none. It fails when they are registered already.
func RegisterCertificate(registerer prometheus.Registerer, shown func() (notBefore, notAfter time.Time, ok bool)) error {
	err := registerer.Register(servingCertificate{
		shown:     shown,
		notBefore: prometheus.NewDesc(certificateNotBefore.Name, certificateNotBefore.Help, nil, nil),
		notAfter:  prometheus.NewDesc(certificateNotAfter.Name, certificateNotAfter.Help, nil, nil),
	})
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return nil
}

func (c servingCertificate) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.notBefore
	descs <- c.notAfter
}

func (c servingCertificate) Collect(metrics chan<- prometheus.Metric) {
	notBefore, notAfter, ok := c.shown()
	if !ok {
		return
	}
	metrics <- prometheus.MustNewConstMetric(c.notBefore, prometheus.GaugeValue, float64(notBefore.Unix()))
	metrics <- prometheus.MustNewConstMetric(c.notAfter, prometheus.GaugeValue, float64(notAfter.Unix()))
}
