package agent

import (
	"context"
	"errors"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	userAgent = "drain-agent"

	notifyTries   = 5
	notifyEvery   = 200 * time.Millisecond
	notifyTimeout = 2 * time.Second
)

// notify tells the workload that it drains, and over which time to tell the
// clients of long-lived connections, where that is known. A listener that is not
// up yet, or whose workers are all busy, is tried again for a moment: telling it
// twice does no harm.
func notify(ctx context.Context, d dialer, spec hold.Notify, notice *drainstatus.Notice) error {
	client := d.client(false)
	target := d.urlOf(spec.Scheme, "", spec.Port, spec.Path)
	word := drainstatus.Notification{Draining: true, Notice: notice}
	for try := 1; ; try++ {
		err := notifyOnce(ctx, client, target, word)
		again := errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil
		if try == notifyTries || !again {
			return err
		}
		if err := sleep(ctx, notifyEvery); err != nil {
			return err
		}
	}
}

func notifyOnce(ctx context.Context, client *http.Client, target string, word drainstatus.Notification) error {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	return drainclient.Notify(ctx, client, target, word, os.Getenv(drainstatus.TokenEnv), userAgent)
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
