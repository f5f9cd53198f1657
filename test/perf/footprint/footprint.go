// Package footprint measures what the agent costs the pod that it runs in: the
// size of its binary, the memory and CPU time of a hold, and how long it takes
// itself to see that a pod has drained.
//
// Each hold runs in a network namespace of its own, as in a pod, with a
// workload that has as many connections as asked for. The process that makes
// the workload and starts the agent is this program itself, started anew.
package footprint

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/drain-operator/drain-operator/test/perf"
)

// Group is the name of this benchmark.
const Group = "agent"

// Bounds of docs/performance.md.
const (
	maxSizeMB    = 10
	maxPeakMiB   = 16
	maxReleaseMs = 100
)

// Measure measures the agent that the image would get.
func Measure(ctx context.Context, module string, say func(string, ...any)) ([]perf.Figure, error) {
	dir, err := os.MkdirTemp("", "bench-agent-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	say("building the agent as its image has it")
	binary, size, err := build(ctx, module, dir)
	if err != nil {
		return nil, err
	}
	figures := []perf.Figure{
		perf.Figure{Group: Group, What: "size of the binary", Value: float64(size) / 1e6, Unit: "MB", Samples: 1}.AtMost(maxSizeMB),
	}
	for _, status := range []string{StatusHTTP, StatusTCP} {
		for _, conns := range []int{0, 100, 1000} {
			say("a hold with %d connections, %s", conns, status)
			m, err := isolated[HoldCost](ctx, Task{Kind: TaskHold, Agent: binary, Status: status, Connections: conns})
			if err != nil {
				return nil, err
			}
			what := fmt.Sprintf("hold, %s, %d connections", status, conns)
			figures = append(figures,
				perf.Figure{Group: Group, What: what + ", peak RSS", Value: float64(m.PeakKiB) / 1024, Unit: "MiB", Samples: 1}.AtMost(maxPeakMiB),
				perf.Figure{Group: Group, What: what + ", share of a core", Value: 100 * m.CPU.Seconds() / m.Wall.Seconds(), Unit: "%", Samples: 1})
		}
	}
	say("how fast the agent alone lets go, %d holds", releases)
	r, err := isolated[ReleaseTimes](ctx, Task{Kind: TaskRelease, Agent: binary, Status: StatusHTTP})
	if err != nil {
		return nil, err
	}
	what := "last response to the agent's exit, long-poll, no kubelet"
	return append(figures,
		r.Times.Figure(Group, what, 0.5),
		r.Times.Figure(Group, what, 0.99).AtMost(maxReleaseMs)), nil
}

// isolated runs a task in a process with a network namespace of its own, which
// needs CAP_SYS_ADMIN.
func isolated[T any](ctx context.Context, task Task) (T, error) {
	var result T
	encoded, err := json.Marshal(task)
	if err != nil {
		return result, err
	}
	var out, failed bytes.Buffer
	cmd := exec.CommandContext(ctx, "/proc/self/exe", Subcommand, string(encoded))
	cmd.Stdout, cmd.Stderr = &out, &failed
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return result, fmt.Errorf("%s with %d connections: %w: %s", task.Kind, task.Connections, err, failed.Bytes())
	}
	return result, json.Unmarshal(out.Bytes(), &result)
}
