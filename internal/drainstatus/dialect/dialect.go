// Package dialect chooses how an answer to a drain-status look is judged, and
// how much of it is read.
package dialect

import (
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/metric"
)

// DrainedWhen names a dialect, as the DrainPolicy spells it.
type DrainedWhen string

const (
	// Body: 200 with a drain status whose inFlight is 0, and whose longLived is
	// what the policy asks for.
	Body DrainedWhen = "Body"
	// StatusCode: 2xx is drained, 503 is not yet.
	StatusCode DrainedWhen = "StatusCode"
	// Metric: a sample of a Prometheus text page is 0.
	Metric DrainedWhen = "Metric"
)

// Dialect is the dialect that a workload speaks.
type Dialect struct {
	// DrainedWhen is Body where it is empty.
	DrainedWhen DrainedWhen
	// Metric says which samples count. Only for DrainedWhen Metric.
	Metric metric.Selector
	// LongLived is the policy for long-lived connections as it stands. Only
	// Body tells them.
	LongLived drainstatus.LongLived
}

// Evaluate judges one answer. A dialect that is not known is Unreadable.
func (d Dialect) Evaluate(r drainstatus.Reply) drainstatus.Reading {
	switch d.DrainedWhen {
	case Body, "":
		return drainstatus.EvaluateBody(r, d.LongLived)
	case StatusCode:
		return drainstatus.EvaluateStatusCode(r)
	case Metric:
		return d.Metric.Evaluate(r)
	}
	return drainstatus.NotReadable("unknown dialect %.40q", string(d.DrainedWhen))
}

// Accept is the Accept header that a reader sends to an endpoint of the dialect.
func (d Dialect) Accept() string {
	if d.DrainedWhen == Metric {
		return "text/plain;version=0.0.4"
	}
	return "application/json, */*;q=0.1"
}

// LongPolls says whether it is of use to send waitSeconds: a metrics page has
// no notion of it, and some exporters refuse parameters that they do not know.
func (d Dialect) LongPolls() bool { return d.DrainedWhen != Metric }

// TellsLongLived says whether an answer tells of long-lived connections.
func (d Dialect) TellsLongLived() bool { return d.DrainedWhen == Body || d.DrainedWhen == "" }
