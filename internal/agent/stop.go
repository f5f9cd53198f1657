package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// firstProcess is the container's: exec hooks run in its PID namespace.
const firstProcess = 1

// stopPoll is how often it is looked whether a process has ended that does not
// take this one along, as the first process of a PID namespace does.
const stopPoll = 50 * time.Millisecond

// Stopper sends a container's first process the signal on which it ends softly.
type Stopper struct {
	spec hold.Spec
	pid  int
	log  func(format string, args ...any)
}

// NewStopper for the process with that number, 1 but in tests.
func NewStopper(spec hold.Spec, pid int, log func(format string, args ...any)) Stopper {
	return Stopper{spec: spec, pid: pid, log: log}
}

// Due says that the signal is to follow the hold. Not where a dead container is
// restarted: it would not listen, and must not wait; nor where the agent was
// told to end, since SIGTERM has been sent then.
func (s Stopper) Due(ctx context.Context, result hold.Result) bool {
	restart := result.Outcome == hold.OutcomeSkipped && !errors.Is(context.Cause(ctx), ErrReleased)
	return s.spec.Stop != nil && !restart && !errors.Is(context.Cause(ctx), ErrStopped)
}

// Obstacle is why the signal cannot be sent or would be lost; empty if it can.
func (s Stopper) Obstacle() string {
	switch {
	case s.signal() == 0:
		return hold.StopNotKnown
	case !sameContainer(s.pid):
		return hold.StopNotOurs
	case errors.Is(unix.Kill(s.pid, 0), unix.EPERM):
		return hold.StopNotAllowed
	case !listens(s.pid, s.signal()):
		return hold.StopNotHandled
	}
	return ""
}

func (s Stopper) signal() unix.Signal { return unix.SignalNum(s.spec.Stop.Signal) }

// Stop sends the signal, and returns when the process has ended, when SIGTERM
// is due, from the start of the hook, or when ctx ends. It never returns where
// the process takes this one along.
func (s Stopper) Stop(ctx context.Context, start time.Time) error {
	if err := unix.Kill(s.pid, s.signal()); err != nil {
		return fmt.Errorf("sending %s to process %d: %w", s.spec.Stop.Signal, s.pid, err)
	}
	s.log("sent %s to process %d", s.spec.Stop.Signal, s.pid)
	ctx, cancel := context.WithDeadline(ctx, start.Add(time.Duration(s.spec.Stop.UntilSeconds)*time.Second))
	defer cancel()
	for running(s.pid) {
		if sleep(ctx, stopPoll) != nil {
			s.log("process %d goes on after %s: SIGTERM follows", s.pid, s.spec.Stop.Signal)
			return nil
		}
	}
	return nil
}

// sameContainer says that a process is of this container: it has the same
// mounts, or where those cannot be compared, the same cgroup. Containers of a
// pod that share their processes, or the node's, have the pod's sandbox or the
// node's init for process 1.
func sameContainer(pid int) bool {
	theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	ours, ourErr := os.Readlink("/proc/self/ns/mnt")
	if err == nil && ourErr == nil {
		return theirs == ours
	}
	their, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	our, ourErr := os.ReadFile("/proc/self/cgroup")
	return err == nil && ourErr == nil && bytes.Equal(their, our)
}

// listens says that a process catches a signal, or blocks it, as those do that
// wait for signals or pass them on (sigwait, signalfd). The kernel drops others
// that a process 1 is sent, pid_namespaces(7).
func listens(pid int, signal unix.Signal) bool {
	return inMask(pid, "SigCgt:", signal) || inMask(pid, "SigBlk:", signal)
}

// inMask reads a mask of signals from a process's status, proc_pid_status(5):
// hexadecimal, bit 0 is signal 1.
func inMask(pid int, mask string, signal unix.Signal) bool {
	value, found := statusField(pid, mask)
	bits, err := strconv.ParseUint(value, 16, 64)
	return found && err == nil && bits&(1<<(signal-1)) != 0
}

// running says that a process exists and is no zombie.
func running(pid int) bool {
	state, found := statusField(pid, "State:")
	return found && !strings.HasPrefix(state, "Z")
}

func statusField(pid int, name string) (string, bool) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(status)) {
		if value, found := strings.CutPrefix(line, name); found {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}
