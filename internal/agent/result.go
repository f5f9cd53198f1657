package agent

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// WriteResult appends the result to the container's termination message, which
// the workload may use as well. It writes nothing for a container that drained
// and whose logs would be the message otherwise.
func WriteResult(spec hold.Spec, result hold.Result) (err error) {
	if spec.TerminationLog == "" || spec.LogsOnError && result.Outcome == hold.OutcomeDrained {
		return nil
	}
	// Never blocks, should the workload have put a pipe there.
	file, err := os.OpenFile(spec.TerminationLog, os.O_WRONLY|os.O_APPEND|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteString(result.Line()); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}
