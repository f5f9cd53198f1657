package footprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// A hold that is measured: some seconds in rotation, then as many with a
// request in flight that does not end before the bound.
const (
	propagationMax = 3
	bound          = 8

	// exitTimedOut is the agent's exit code at the bound.
	exitTimedOut = 3

	// peakEvery is how often the peak is read: it only grows, and what it grows
	// by in an agent's last milliseconds is a line of text.
	peakEvery = 10 * time.Millisecond
)

// measureHold runs one hold to its bound.
func measureHold(ctx context.Context, task Task) (HoldCost, error) {
	w, err := startWorkload(task.Connections)
	if err != nil {
		return HoldCost{}, err
	}
	defer w.stop()
	w.begin()
	defer w.finish()
	go w.traffic(ctx)
	return runAgent(ctx, task, holdSpec(task.Status, propagationMax, bound))
}

// holdSpec is a hold as the plan writes it.
func holdSpec(status string, propagationMax, bound int32) hold.Spec {
	spec := hold.Spec{
		Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained,
		PropagationSeconds: min(1, propagationMax), PropagationMaxSeconds: propagationMax, BoundSeconds: bound,
		ServePorts: []int32{workPort},
	}
	if status == StatusTCP {
		spec.TCP = &hold.TCP{IdleSeconds: 2}
		return spec
	}
	spec.HTTP = &hold.HTTP{
		Port: statusPort, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: "Body",
	}
	return spec
}

// runAgent runs a hold that ends at its bound, and watches its memory.
func runAgent(ctx context.Context, task Task, spec hold.Spec) (HoldCost, error) {
	cmd, stderr, err := agentCommand(ctx, task, spec)
	if err != nil {
		return HoldCost{}, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return HoldCost{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var cost HoldCost
	for tick := time.NewTicker(peakEvery); ; {
		select {
		case <-tick.C:
			cost.PeakKiB = max(cost.PeakKiB, peakKiB(cmd.Process.Pid))
		case err := <-ended:
			tick.Stop()
			cost.Wall = time.Since(began)
			cost.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			return cost, asExpected(err, exitTimedOut, stderr)
		}
	}
}

// agentCommand is the hook that the plan writes, with the agent where it is.
func agentCommand(ctx context.Context, task Task, spec hold.Spec) (*exec.Cmd, *bytes.Buffer, error) {
	command, err := spec.Command()
	if err != nil {
		return nil, nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, task.Agent, command[1:]...)
	cmd.Stderr = &stderr
	return cmd, &stderr, nil
}

// asExpected is an error unless the agent ended with a code.
func asExpected(err error, code int, stderr fmt.Stringer) error {
	var exit *exec.ExitError
	switch {
	case err == nil && code == 0, errors.As(err, &exit) && exit.ExitCode() == code:
		return nil
	case err == nil:
		return fmt.Errorf("the agent ended with 0 instead of %d: %s", code, stderr)
	}
	return fmt.Errorf("the agent should have ended with %d: %w: %s", code, err, stderr)
}

// peakKiB is the peak of a process's resident set so far, 0 if it is gone. What
// wait4 tells is of no use here: it includes the memory of whoever started it.
func peakKiB(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	var kib int64
	if _, err := fmt.Sscan(string(rest), &kib); err != nil {
		return 0 // a process that has ended has no memory any more
	}
	return kib
}
