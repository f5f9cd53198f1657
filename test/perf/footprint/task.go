package footprint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/network"
)

// Subcommand is how this program is started anew for one task.
const Subcommand = "in-namespace"

// Kinds of tasks.
const (
	// TaskHold measures the cost of a hold that lasts until its bound.
	TaskHold = "hold"
	// TaskRelease measures how fast holds end once drained.
	TaskRelease = "release"
)

// How the agent learns what is in flight.
const (
	StatusHTTP = "HTTP"
	StatusTCP  = "TCP"
)

// Task is what to do in a network namespace of its own.
type Task struct {
	Kind string `json:"kind"`
	// Agent is the path of its binary.
	Agent string `json:"agent"`
	// Status is StatusHTTP or StatusTCP.
	Status string `json:"status"`
	// Connections that clients have to the workload.
	Connections int `json:"connections"`
}

// HoldCost is what one hold cost.
type HoldCost struct {
	// PeakKiB is the peak of the agent's resident set.
	PeakKiB int64         `json:"peakKiB"`
	CPU     time.Duration `json:"cpuNanos"`
	Wall    time.Duration `json:"wallNanos"`
}

// ReleaseTimes are the times from a last response to the agent's exit.
type ReleaseTimes struct {
	Times perf.Sample `json:"timesNanos"`
}

// RunTask does a task and writes the result as JSON.
func RunTask(ctx context.Context, encoded string, out io.Writer) error {
	var task Task
	if err := json.Unmarshal([]byte(encoded), &task); err != nil {
		return err
	}
	if err := network.LoopbackUp(); err != nil {
		return err
	}
	result, err := task.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

func (t Task) run(ctx context.Context) (any, error) {
	switch t.Kind {
	case TaskHold:
		return measureHold(ctx, t)
	case TaskRelease:
		return measureReleases(ctx, t)
	}
	return nil, fmt.Errorf("task %q is not known", t.Kind)
}
