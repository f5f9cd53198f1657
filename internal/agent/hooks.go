package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// killDelay is how long a command that was cut short may keep its pipes open.
	killDelay = 100 * time.Millisecond

	// As the kubelet's, by which apps tell its requests from others. A version
	// belongs to it; which one the kubelet has is not known here.
	probeUserAgent = "kube-probe/1.36 (drain-agent)"
	hookUserAgent  = "kube-lifecycle/1.36 (drain-agent)"
)

// runHook does what the kubelet would do for the container's own hook. As with
// the kubelet, the code of an HTTP answer says nothing.
func runHook(ctx context.Context, d dialer, hook hold.ExistingHook) error {
	switch {
	case len(hook.Exec) > 0:
		return run(ctx, hook.Exec)
	case hook.SleepSeconds > 0:
		return sleep(ctx, time.Duration(hook.SleepSeconds)*time.Second)
	case hook.Port > 0:
		_, err := get(ctx, d, d.urlOf(hook.Scheme, hook.Host, hook.Port, hook.HTTPPath), hook.Headers, hookUserAgent)
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

// get asks as the kubelet does, which puts no header of its own where one is
// given, and returns the status code; redirects are not followed.
func get(ctx context.Context, d dialer, target string, headers []hold.Header, userAgent string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, err
	}
	for _, h := range headers {
		request.Header.Add(h.Name, h.Value)
	}
	if given := request.Header.Get("Host"); given != "" {
		request.Host = given
	}
	for name, value := range map[string]string{"User-Agent": userAgent, "Accept": "*/*"} {
		if request.Header.Values(name) == nil {
			request.Header.Set(name, value)
		}
	}
	response, err := d.client(false).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	drainclient.Discard(response.Body)
	return response.StatusCode, nil
}
