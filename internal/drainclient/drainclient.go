// Package drainclient is the client's side of the drain-status protocol. The
// agent and the operator share it: it knows nothing of Kubernetes.
package drainclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/dialect"
)

const (
	maxHeaderBytes = 16 << 10
	// discard bounds what is read of an answer that says nothing.
	discard = 4 << 10
)

// Dial connects to a workload.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// New returns a client that does HTTP/1.1 without proxies, redirects,
// compression or verified certificates, as the kubelet's probes do. With
// keepAlive it keeps one idle connection to each address.
func New(dial Dial, keepAlive bool) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dial,
			DisableKeepAlives:      !keepAlive,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			MaxResponseHeaderBytes: maxHeaderBytes,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // as the kubelet does it with probes
			TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
		},
	}
}

// Ask takes one look at a drain-status endpoint. ctx bounds the whole answer,
// body included.
func Ask(ctx context.Context, client *http.Client, target string, d dialect.Dialect, userAgent string) drainstatus.Reading {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return drainstatus.NotReadable("%v", err)
	}
	request.Header.Set("Accept", d.Accept())
	request.Header.Set("User-Agent", userAgent)
	response, err := client.Do(request)
	if err != nil {
		return d.Evaluate(drainstatus.Reply{Err: withoutURL(err)})
	}
	defer func() { _ = response.Body.Close() }() // read as far as it is of use
	return d.Evaluate(drainstatus.Reply{
		StatusCode:  response.StatusCode,
		ContentType: response.Header.Get("Content-Type"),
		Body:        response.Body,
	})
}

// withoutURL leaves out what the reader knows: reasons are short.
func withoutURL(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// AnsweredError is that a workload answered no, such as to a notification.
type AnsweredError struct{ StatusCode int }

func (e *AnsweredError) Error() string { return fmt.Sprintf("answered %d", e.StatusCode) }

// Notify tells a workload that it drains, or no longer does. The token is left
// out where it is empty. ctx bounds the whole answer. An answer other than 2xx
// is an AnsweredError. A workload that does not understand the notice is told
// without it.
func Notify(ctx context.Context, client *http.Client, target string, n drainstatus.Notification, token, userAgent string) error {
	err := notify(ctx, client, target, n, token, userAgent)
	if n.Notice == nil || !notUnderstood(err) {
		return err
	}
	n.Notice = nil
	return notify(ctx, client, target, n, token, userAgent)
}

func notUnderstood(err error) bool {
	var answered *AnsweredError
	return errors.As(err, &answered) &&
		(answered.StatusCode == http.StatusBadRequest || answered.StatusCode == http.StatusUnprocessableEntity)
}

func notify(ctx context.Context, client *http.Client, target string, n drainstatus.Notification, token, userAgent string) error {
	body, err := n.Encode()
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	if token != "" {
		request.Header.Set(drainstatus.TokenHeader, token)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("notifying: %w", withoutURL(err))
	}
	defer response.Body.Close()
	Discard(response.Body)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("notifying: %w", &AnsweredError{response.StatusCode})
	}
	return nil
}

// Discard reads a little of a body that says nothing, so that its connection
// can be used again.
func Discard(body io.Reader) { _, _ = io.CopyN(io.Discard, body, discard) }
