package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// killDelay is how long a command that was cut short may keep its pipes open.
const killDelay = 100 * time.Millisecond

// runHook does what the kubelet would do for the container's own hook. As with
// the kubelet, the code of an HTTP answer says nothing.
func runHook(ctx context.Context, d dialer, hook hold.ExistingHook) error {
	switch {
	case len(hook.Exec) > 0:
		return run(ctx, hook.Exec)
	case hook.SleepSeconds > 0:
		return sleep(ctx, time.Duration(hook.SleepSeconds)*time.Second)
	case hook.Port > 0:
		_, err := get(ctx, d, urlOf(hook.Scheme, hook.Host, hook.Port, hook.HTTPPath), hook.Headers)
		return err
	}
	return nil
}

// run executes a command in the container, and ends it when ctx ends.
func run(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the container's own hook or probe
	cmd.WaitDelay = killDelay
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("running %s: %w", command[0], err), context.Cause(ctx))
	}
	return nil
}

// get returns the status code of an answer; redirects are not followed.
func get(ctx context.Context, d dialer, target string, headers []hold.Header) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("User-Agent", userAgent)
	for _, h := range headers {
		if strings.EqualFold(h.Name, "Host") {
			request.Host = h.Value
			continue
		}
		request.Header.Add(h.Name, h.Value)
	}
	response, err := d.client(false).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	drainclient.Discard(response.Body)
	return response.StatusCode, nil
}
