package footprint

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// releases is how many holds are measured.
	releases = 100

	// underWay is how long the last request goes on at least after the hook
	// began: by then the agent has asked.
	underWay = 250 * time.Millisecond
)

// measureReleases runs one hold after the other, each with one request in
// flight, and measures how long the agent goes on after its response.
func measureReleases(ctx context.Context, task Task) (ReleaseTimes, error) {
	w, err := startWorkload(0)
	if err != nil {
		return ReleaseTimes{}, err
	}
	defer w.stop()
	var all ReleaseTimes
	for range releases {
		took, err := measureRelease(ctx, task, w)
		if err != nil {
			return ReleaseTimes{}, err
		}
		all.Times = append(all.Times, took)
	}
	return all, nil
}

func measureRelease(ctx context.Context, task Task, w *workload) (time.Duration, error) {
	cmd, stderr, err := agentCommand(ctx, task, holdSpec(task.Status, 0, bound))
	if err != nil {
		return 0, err
	}
	w.begin()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	responded := make(chan time.Time, 1)
	time.AfterFunc(underWay+rand.N(underWay), func() {
		responded <- time.Now()
		w.finish()
	})
	err = cmd.Wait()
	exited := time.Now()
	select {
	case at := <-responded:
		return exited.Sub(at), asExpected(err, 0, stderr)
	default:
		return 0, fmt.Errorf("the agent ended before the response: %w: %s", err, stderr)
	}
}
