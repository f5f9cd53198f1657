package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/waiting"
)

// probe makes a liveness probe as the kubelet does, within its timeout. Unlike
// there, a process that refuses the question (4xx) lives: it may know the
// kubelet by what the agent cannot imitate, such as its address.
func probe(ctx context.Context, d dialer, p hold.Probe) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, p.TimeoutSeconds))*time.Second)
	defer cancel()
	switch {
	case len(p.Exec) > 0:
		return run(ctx, p.Exec)
	case p.HTTPPath != "":
		code, err := get(ctx, d, d.urlOf(p.Scheme, p.Host, p.Port, p.HTTPPath), p.Headers, probeUserAgent)
		if err == nil && code >= http.StatusInternalServerError {
			return &drainclient.AnsweredError{StatusCode: code}
		}
		return err
	default:
		conn, err := d.dial(ctx, "tcp", net.JoinHostPort(orDefault(p.Host, pod), strconv.Itoa(int(p.Port))))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// resultOf tells an answer that says no from none. A port may be refused at one
// address of the pod and not answer at another.
func resultOf(err error) waiting.ProbeResult {
	var answered *drainclient.AnsweredError
	var exit *exec.ExitError
	switch {
	case err == nil:
		return waiting.ProbeAnswered
	case errors.Is(err, context.DeadlineExceeded):
		return waiting.ProbeSilent
	case errors.As(err, &answered), errors.As(err, &exit) && exit.Exited(), errors.Is(err, syscall.ECONNREFUSED):
		return waiting.ProbeFailed
	}
	return waiting.ProbeSilent
}
