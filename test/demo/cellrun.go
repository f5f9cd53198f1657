package demo

import (
	"context"
	"time"
)

// cellRun is a cell under way.
type cellRun struct {
	ground
	cfg       Config
	workload  string
	treatment Treatment
	cell      Cell
}

// run sends load, restarts the workload under it and returns what was seen.
func (r *cellRun) run(ctx context.Context) (Cell, error) {
	r.cell = Cell{Workload: r.workload, Treatment: r.treatment}
	if err := r.begin(ctx, r.cfg.Load); err != nil {
		return r.cell, err
	}
	if err := pause(ctx, r.cfg.Warmup); err != nil {
		return r.cell, err
	}
	for range r.cfg.Restarts {
		done, err := r.restart(ctx)
		if err != nil {
			return r.cell, err
		}
		r.cell.Restarts = append(r.cell.Restarts, done)
		if err := pause(ctx, r.cfg.Settle); err != nil {
			return r.cell, err
		}
	}
	if err := r.waitRequests(ctx); err != nil {
		return r.cell, err
	}
	var err error
	r.cell.Load, err = r.loader.Finish(ctx)
	r.cell.Lives = r.pods.lives()
	return r.cell, err
}

// waitRequests lets the load go on until enough was sent where something is to
// be proven.
func (r *cellRun) waitRequests(ctx context.Context) error {
	if _, _, demanded := judged(r.workload); r.treatment != Policy || !demanded {
		return nil
	}
	for {
		live, err := r.loader.Live(ctx)
		if err != nil {
			return err
		}
		sent := live.Requests
		if r.workload == Shutdown {
			sent = live.Fresh
		}
		if sent >= r.cfg.MinRequests {
			return nil
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// look is the cell's state now, in a few words.
func (r *cellRun) look(ctx context.Context) string { return r.ground.look(ctx, r.workload) }
