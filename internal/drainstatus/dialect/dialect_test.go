package dialect

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/metric"
)

func TestEvaluate(t *testing.T) {
	jobs := metric.Selector{Name: "jobs"}
	tests := map[string]struct {
		dialect Dialect
		body    string
		want    drainstatus.State
	}{
		"Body":                {Dialect{DrainedWhen: Body}, `{"version":1,"inFlight":0}`, drainstatus.Drained},
		"Body, busy":          {Dialect{DrainedWhen: Body}, `{"version":1,"inFlight":1}`, drainstatus.Busy},
		"Body is the default": {Dialect{}, `{"version":1,"inFlight":1}`, drainstatus.Busy},
		"StatusCode":          {Dialect{DrainedWhen: StatusCode}, `{"version":1,"inFlight":1}`, drainstatus.Drained},
		"Metric":              {Dialect{DrainedWhen: Metric, Metric: jobs}, "jobs 0\n", drainstatus.Drained},
		"Metric, busy":        {Dialect{DrainedWhen: Metric, Metric: jobs}, "jobs 2\n", drainstatus.Busy},
		"unknown":             {Dialect{DrainedWhen: "Header"}, `{"version":1,"inFlight":0}`, drainstatus.Unreadable},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := tc.dialect.Evaluate(drainstatus.Reply{StatusCode: 200, Body: strings.NewReader(tc.body)})
			if diff := cmp.Diff(tc.want, got.State); diff != "" {
				t.Errorf("state (-want +got):\n%s\n%+v", diff, got)
			}
		})
	}
}
