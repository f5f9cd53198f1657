package observe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/address"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// acceptPages asks for the protobuf format first: native histograms are in no
// other that the parser knows.
const acceptPages = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited," +
	"text/plain;version=0.0.4;q=0.5,text/plain;q=0.3,*/*;q=0.1"

// scraper reads the metrics pages of pods, a bounded number at a time in the
// whole process.
type scraper struct {
	limits Limits
	client *http.Client
	slots  chan struct{}
}

// newScraper makes a client that keeps no connection: idle ones to every pod
// would be memory here, and connections there that a drain has to see through.
func newScraper(limits Limits) *scraper {
	return &scraper{
		limits: limits,
		slots:  make(chan struct{}, limits.Scrapes),
		client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:            (&net.Dialer{Timeout: limits.PodTimeout}).DialContext,
				TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, // as the kubelet probes; the answer is not trusted anyway
				DisableKeepAlives:      true,
				MaxResponseHeaderBytes: 64 << 10,
			},
		},
	}
}

// errSilent says that a pod gave no page.
var errSilent = errors.New("no answer")

// look reads one pod's page. An error is errSilent, errNoHistogram or one of a
// page that cannot be used.
func (s *scraper) look(ctx context.Context, pod *corev1.Pod, asked *v1alpha1.PodMetricsLatency) (latency.Histogram, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return latency.Histogram{}, fmt.Errorf("%w in time", errSilent)
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.PodTimeout)
	defer cancel()
	resp, err := s.get(ctx, pod, asked)
	if err != nil {
		return latency.Histogram{}, fmt.Errorf("%w: %w", errSilent, withoutURL(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return latency.Histogram{}, fmt.Errorf("%w: answered %d%s", errSilent, resp.StatusCode, hint(resp.StatusCode))
	}
	read := series{asked.Histogram, asked.MatchLabels, asked.Exclude}
	page := &brokenOff{Reader: resp.Body}
	h, err := read.readPage(resp.Header.Get("Content-Type"), page)
	if page.err != nil {
		return latency.Histogram{}, fmt.Errorf("%w: its page broke off: %w", errSilent, page.err)
	}
	return h, err
}

func (s *scraper) get(ctx context.Context, pod *corev1.Pod, asked *v1alpha1.PodMetricsLatency) (*http.Response, error) {
	at, err := address.Of(pod, asked.Port, s.limits.Loopback)
	if err != nil {
		return nil, err
	}
	scheme := "http"
	if asked.Scheme == v1alpha1.SchemeHTTPS {
		scheme = "https"
	}
	path := asked.Path
	if path == "" {
		path = "/metrics"
	}
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("the path does not start with /")
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+at.String()+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", acceptPages)
	r.Header.Set("User-Agent", "drain-operator")
	return s.client.Do(r)
}

func hint(status int) string {
	if status/100 == 3 {
		return "; redirects are not followed"
	}
	return ""
}

// brokenOff remembers how a body ended that did not end by itself: whatever the
// parser says of it then, it is the pod that did not answer.
type brokenOff struct {
	io.Reader
	err error
}

func (b *brokenOff) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}
