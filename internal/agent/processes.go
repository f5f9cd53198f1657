package agent

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// Holding is a process that runs `wait`.
type Holding struct {
	PID  int
	Age  time.Duration
	Spec hold.Spec
	// encoded is the Spec as it was passed.
	encoded string
}

// Holdings finds the processes that hold in this container (or pod, where its
// containers share their processes), this one left out.
func Holdings() ([]Holding, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("looking for holds: %w", err)
	}
	var found []Holding
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if h, ok := holding(pid); ok {
			found = append(found, h)
		}
	}
	return found, nil
}

func holding(pid int) (Holding, bool) {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return Holding{}, false // gone, or not ours to see
	}
	encoded, ok := parseCommandLine(cmdline)
	if !ok {
		return Holding{}, false
	}
	spec, _, err := hold.ParseNewer(encoded)
	age, ok := sockets.ProcessAge(pid)
	return Holding{PID: pid, Age: age, Spec: spec, encoded: encoded}, ok && err == nil
}

// parseCommandLine takes the encoded Spec from the command of a hold, wherever
// the binary lies.
func parseCommandLine(cmdline []byte) (encoded string, ok bool) {
	fields := bytes.Split(bytes.TrimSuffix(cmdline, []byte{0}), []byte{0})
	command := make([]string, len(fields))
	for i, f := range fields {
		command[i] = string(f)
	}
	if filepath.Base(command[0]) != filepath.Base(hold.AgentPath) {
		return "", false
	}
	command[0] = hold.AgentPath
	if i := slices.Index(command, "--verbose"); i > 0 {
		command = slices.Delete(command, i, i+1)
	}
	if !hold.IsAgentCommand(command) {
		return "", false
	}
	return command[len(command)-1], true
}

// Began is when the hold began that this process continues: a kubelet that
// restarts runs the hook again while the first one goes on, and the bound
// counts from the first. With no such process it is now.
func Began(now time.Time, encoded string, others []Holding) time.Time {
	began := now
	for _, other := range others {
		if start := now.Add(-other.Age); other.encoded == encoded && start.Before(began) {
			began = start
		}
	}
	return began
}

// Release ends the holds by hand, and returns the processes that it told.
func Release() ([]int, error) {
	holdings, err := Holdings()
	if err != nil {
		return nil, err
	}
	var told []int
	for _, h := range holdings {
		if err := unix.Kill(h.PID, unix.SIGUSR1); err != nil {
			return told, fmt.Errorf("releasing process %d: %w", h.PID, err)
		}
		told = append(told, h.PID)
	}
	return told, nil
}
