package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	userAgent = "drain-agent"

	notifyTries   = 5
	notifyEvery   = 200 * time.Millisecond
	notifyTimeout = 2 * time.Second

	// discard bounds what is read of an answer that says nothing.
	discard = 4 << 10
)

// notify tells the workload that it drains. A listener that is not up yet is
// tried again for a moment.
func notify(ctx context.Context, d dialer, spec hold.Notify) error {
	client := d.client(false)
	target := urlOf(spec.Scheme, "", spec.Port, spec.Path)
	for try := 1; ; try++ {
		err := notifyOnce(ctx, client, target)
		if err == nil || try == notifyTries || !errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		if err := sleep(ctx, notifyEvery); err != nil {
			return err
		}
	}
}

func notifyOnce(ctx context.Context, client *http.Client, target string) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader([]byte(`{"draining":true}`)))
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", userAgent)
	if token := os.Getenv(drainstatus.TokenEnv); token != "" {
		request.Header.Set(drainstatus.TokenHeader, token)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("notifying: %w", err)
	}
	defer response.Body.Close()
	discardBody(response.Body)
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("notifying: answered %d", response.StatusCode)
	}
	return nil
}

// discardBody reads a little of a body that says nothing, so that the
// connection can be used again.
func discardBody(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, discard)
}

// sleep waits, and fails only when ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
