package agent

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/dialect"
	"github.com/drain-operator/drain-operator/internal/drainstatus/metric"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// asker asks a drain-status endpoint.
type asker struct {
	client  *http.Client
	url     string
	timeout time.Duration
	dialect dialect.Dialect
}

func newAsker(d dialer, spec hold.HTTP) asker {
	return asker{
		client:  d.client(true),
		url:     d.urlOf(spec.Scheme, "", spec.Port, spec.Path),
		timeout: time.Duration(max(1, spec.TimeoutSeconds)) * time.Second,
		dialect: dialect.Dialect{
			DrainedWhen: dialect.DrainedWhen(spec.DrainedWhen),
			Metric:      metric.Selector{Name: spec.Metric, MatchLabels: spec.MatchLabels},
		},
	}
}

// ask takes one look. With wait > 0 the endpoint may hold its answer for so
// many seconds. The timeout covers the whole answer, body included. The answer
// is judged by the policy for long-lived connections as it stands.
func (a asker) ask(ctx context.Context, wait int, longLived drainstatus.LongLived) drainstatus.Reading {
	ctx, cancel := context.WithTimeout(ctx, a.timeout+time.Duration(wait)*time.Second)
	defer cancel()
	target, err := withWait(a.url, wait, longLived)
	if err != nil {
		return drainstatus.NotReadable("%v", err)
	}
	judge := a.dialect
	judge.LongLived = longLived
	return drainclient.Ask(ctx, a.client, target, judge, userAgent)
}

// withWait merges waitSeconds, and whether to wait for long-lived connections,
// into a URL, whose query stays as it is.
func withWait(target string, wait int, longLived drainstatus.LongLived) (string, error) {
	if wait <= 0 {
		return target, nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	u.RawQuery = withParameter(u.RawQuery, drainstatus.WaitParameter, strconv.Itoa(wait))
	if longLived.Counts() {
		u.RawQuery = withParameter(u.RawQuery, drainstatus.LongLivedParameter, "true")
	}
	return u.String(), nil
}

// withParameter adds a parameter to a query, or sets the one that is there.
func withParameter(query, name, value string) string {
	values, _ := url.ParseQuery(query) // what can be read of it
	switch {
	case values.Has(name):
		values.Set(name, value)
		return values.Encode()
	case query != "":
		return query + "&" + name + "=" + value
	}
	return name + "=" + value
}
