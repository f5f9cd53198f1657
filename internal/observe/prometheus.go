package observe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// askPrometheus sees the latency of a policy's pods in a Prometheus. It keeps
// nothing: the window is the query's.
func (s Sources) askPrometheus(ctx context.Context, target Target) (latency.Summary, error) {
	asked := target.Policy.Spec.GracePeriod.Latency.Prometheus
	source, known := s[sourceOf(asked)]
	if !known {
		return latency.Summary{}, s.unknown(asked)
	}
	value, failure := source.ask(ctx, asked.Query, target)
	if failure != nil {
		return latency.Summary{}, failure
	}
	a, failure := readAnswer(value)
	if failure != nil {
		return latency.Summary{}, failure
	}
	window := time.Duration(windowSeconds(target.Policy)) * time.Second
	var summary latency.Summary
	if a.histogram != nil {
		summary, failure = summarized(*a.histogram, target, window, len(target.Pods))
	} else {
		summary, failure = source.summaryOfValue(ctx, a.value, target)
	}
	if failure != nil {
		return latency.Summary{}, failure
	}
	summary.Since, summary.At = target.Now.Add(-window), target.Now
	return summary, nil
}

func sourceOf(asked *v1alpha1.PrometheusLatency) string {
	if asked.Source == "" {
		return "default"
	}
	return asked.Source
}

func (s Sources) unknown(asked *v1alpha1.PrometheusLatency) *Failure {
	if len(s) == 0 {
		return failf(v1alpha1.ReasonSourceUnknown, "no latency source is configured; the policy asks for %q", sourceOf(asked))
	}
	return failf(v1alpha1.ReasonSourceUnknown, "no latency source %q is configured; there is %s", sourceOf(asked), strings.Join(s.Names(), ", "))
}

// summarized reads the policy's percentile from a histogram in the policy's
// unit, of requests that came to so many pods in so long a while.
func summarized(h latency.Histogram, target Target, while time.Duration, pods int) (latency.Summary, *Failure) {
	_, quantile, err := percentileOf(target.Policy)
	if err != nil {
		return latency.Summary{}, failf(v1alpha1.ReasonQueryInvalid, "%v", err)
	}
	if factor := secondsPer(target.Policy.Spec.GracePeriod.Latency.Unit); factor != 1 {
		h = h.Scale(factor)
	}
	summary := h.Summarize(quantile)
	inFlight := h.InFlight(while, max(1, pods))
	summary.Residual, summary.ResidualTooCoarse = h.ResidualOfAll(quantile, inFlight)
	if !math.IsInf(inFlight, 0) {
		summary.InFlight = inFlight
	}
	return summary, nil
}

// summaryOfValue takes the percentile as it was told, and asks on how many
// requests it stands, where the policy says how.
func (s Source) summaryOfValue(ctx context.Context, value float64, target Target) (latency.Summary, *Failure) {
	asked := target.Policy.Spec.GracePeriod.Latency
	told, failure := valueOf(value, asked.Unit)
	if failure != nil {
		return latency.Summary{}, failure
	}
	if asked.Prometheus.CountQuery == "" {
		return latency.Summary{Latency: told, RequestsUnknown: true}, nil
	}
	count, failure := s.ask(ctx, asked.Prometheus.CountQuery, target)
	if failure != nil {
		return latency.Summary{}, failf(failure.Reason, "countQuery: %s", failure.Message)
	}
	requests, failure := countOf(count)
	if failure != nil {
		return latency.Summary{}, failure
	}
	return latency.Summary{Latency: told, Requests: requests}, nil
}

// ask sends one query, confined to the policy's namespace.
func (s Source) ask(ctx context.Context, template string, target Target) (model.Value, *Failure) {
	query, err := filled(template, target)
	if errors.Is(err, errNoPods) {
		return nil, failf(v1alpha1.ReasonNoData, "%v", err)
	}
	if err != nil {
		return nil, failf(v1alpha1.ReasonQueryInvalid, "the query cannot be asked: %v", err)
	}
	query, err = enforced(query, s.NamespaceLabel, target.Policy.Namespace)
	if err != nil {
		return nil, failf(v1alpha1.ReasonQueryInvalid, "the query cannot be asked: %v", err)
	}
	if failure := s.reach.failure(target.Now); failure != nil {
		return nil, failure
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	value, warnings, err := s.query(ctx, query, target.Now)
	if err != nil {
		failure := s.failure(err)
		s.reach.note(target.Now, err, failure)
		return nil, failure
	}
	if len(warnings) > 0 {
		return nil, failf(v1alpha1.ReasonAnswerUnusable, "source %q warns that its answer is not to be relied on: %s", s.Name, warnings[0])
	}
	return value, nil
}

// query turns a panic of the decoder into an error: what it reads is not ours.
func (s Source) query(ctx context.Context, query string, at time.Time) (value model.Value, warnings promv1.Warnings, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &promv1.Error{Type: promv1.ErrBadResponse, Msg: fmt.Sprintf("the decoder gave up: %v", p)}
		}
	}()
	client, err := api.NewClient(api.Config{Address: s.Address, Client: s.client})
	if err != nil {
		return nil, nil, err
	}
	return promv1.NewAPI(client).Query(ctx, query, at, promv1.WithTimeout(s.Timeout))
}

// failure says whose fault an error is: the query's, the answer's or the source's.
func (s Source) failure(err error) *Failure {
	var (
		told    *promv1.Error
		tooMuch tooLargeError
	)
	switch {
	case errors.As(err, &tooMuch):
		return failf(v1alpha1.ReasonAnswerUnusable, "source %q: %v; aggregate, for instance with sum by (le) (...)", s.Name, tooMuch)
	case errors.Is(err, context.DeadlineExceeded):
		return failf(v1alpha1.ReasonSourceUnavailable, "source %q gave no answer within %v", s.Name, s.Timeout)
	case errors.As(err, &told):
		return failf(reasonOf(told.Type), "source %q: %v", s.Name, told)
	case isTransport(err):
		return failf(v1alpha1.ReasonSourceUnavailable, "source %q: %v", s.Name, withoutURL(err))
	}
	return failf(v1alpha1.ReasonAnswerUnusable, "source %q: its answer cannot be read: %v", s.Name, err)
}

func reasonOf(t promv1.ErrorType) string {
	switch t {
	case promv1.ErrBadData, promv1.ErrExec:
		return v1alpha1.ReasonQueryInvalid
	case promv1.ErrBadResponse:
		return v1alpha1.ReasonAnswerUnusable
	}
	return v1alpha1.ReasonSourceUnavailable
}
