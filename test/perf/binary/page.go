package binary

import (
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Page is a page of metrics, by their names.
type Page map[string]*dto.MetricFamily

// ParsePage reads a page in the text format.
func ParsePage(body string) (Page, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(strings.NewReader(body))
}

// Sum of the samples of a metric that carry these labels.
func (p Page) Sum(name string, labels map[string]string) float64 {
	sum := 0.0
	for _, sample := range p[name].GetMetric() {
		carried := 0
		for _, pair := range sample.Label {
			if value, asked := labels[pair.GetName()]; asked && value == pair.GetValue() {
				carried++
			}
		}
		if carried == len(labels) {
			sum += sample.GetCounter().GetValue() + sample.GetGauge().GetValue() + sample.GetUntyped().GetValue()
		}
	}
	return sum
}
