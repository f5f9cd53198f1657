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
		url:     urlOf(spec.Scheme, "", spec.Port, spec.Path),
		timeout: time.Duration(max(1, spec.TimeoutSeconds)) * time.Second,
		dialect: dialect.Dialect{
			DrainedWhen: dialect.DrainedWhen(spec.DrainedWhen),
			Metric:      metric.Selector{Name: spec.Metric, MatchLabels: spec.MatchLabels},
		},
	}
}

// ask takes one look. With wait > 0 the endpoint may hold its answer for so
// many seconds. The timeout covers the whole answer, body included.
func (a asker) ask(ctx context.Context, wait int) drainstatus.Reading {
	ctx, cancel := context.WithTimeout(ctx, a.timeout+time.Duration(wait)*time.Second)
	defer cancel()
	target, err := withWait(a.url, wait)
	if err != nil {
		return drainstatus.NotReadable("%v", err)
	}
	return drainclient.Ask(ctx, a.client, target, a.dialect, userAgent)
}

// withWait merges waitSeconds into a URL, whose query stays as it is.
func withWait(target string, wait int) (string, error) {
	if wait <= 0 {
		return target, nil
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	parameter := drainstatus.WaitParameter + "=" + strconv.Itoa(wait)
	switch query := u.Query(); {
	case query.Has(drainstatus.WaitParameter):
		query.Set(drainstatus.WaitParameter, strconv.Itoa(wait))
		u.RawQuery = query.Encode()
	case u.RawQuery != "":
		u.RawQuery += "&" + parameter
	default:
		u.RawQuery = parameter
	}
	return u.String(), nil
}
