package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/test/load/loadpod"
)

// cellRun is a cell under way.
type cellRun struct {
	cluster   *cluster
	cfg       Config
	workload  string
	treatment Treatment
	manifests Manifests
	progress  *progress

	target string
	loader *loadpod.Pod
	pods   *watcher
	cell   Cell
}

func (r *cellRun) namespace() string { return fmt.Sprintf("demo-%s-%s", r.treatment, r.workload) }

// prepare creates the workload, after its policy where it has one. The pods are
// watched until watching ends.
func (r *cellRun) prepare(watching, ctx context.Context) error {
	if err := r.cluster.createNamespace(ctx, r.namespace()); err != nil {
		return err
	}
	m := r.manifests.Adapt(r.namespace(), r.treatment, r.cfg)
	if m.Policy != nil {
		if err := r.cluster.applyPolicy(ctx, m); err != nil {
			return err
		}
	}
	var err error
	if r.pods, err = watchPods(watching, r.cluster.typed, r.namespace()); err != nil {
		return err
	}
	r.target, err = r.cluster.createWorkload(ctx, m)
	return err
}

// run sends load, restarts the workload under it and returns what was seen.
func (r *cellRun) run(ctx context.Context) (Cell, error) {
	r.cell = Cell{Workload: r.workload, Treatment: r.treatment}
	cfg := r.cfg.Load
	cfg.Target, cfg.AwaitSeconds = r.target, 30
	if err := r.loader.Begin(ctx, cfg); err != nil {
		return r.cell, err
	}
	if err := pause(ctx, r.cfg.Warmup); err != nil {
		return r.cell, err
	}
	for range r.cfg.Restarts {
		if err := r.restart(ctx); err != nil {
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

// restart replaces every pod and waits until the last old one is gone.
func (r *cellRun) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.RestartTimeout, fmt.Errorf("a restart took longer than %s", r.cfg.RestartTimeout))
	defer cancel()
	old := r.pods.lives()
	now := Restart{Start: time.Now()}
	name := r.manifests.Deployment.Name
	generation, err := r.cluster.restart(ctx, r.namespace(), name, now.Start)
	if err != nil {
		return err
	}
	if err := r.cluster.waitComplete(ctx, r.namespace(), name, generation); err != nil {
		return err
	}
	now.Complete = time.Now()
	if err := r.pods.wait(ctx, "the old pods to go", allGone(old)); err != nil {
		return err
	}
	now.Last = time.Now()
	r.cell.Restarts = append(r.cell.Restarts, now)
	return pause(ctx, r.cfg.Settle)
}

// allGone says whether every one of some pods is gone.
func allGone(old []Life) func([]Life) bool {
	names := map[string]bool{}
	for _, l := range old {
		names[l.Name] = true
	}
	return func(lives []Life) bool {
		for _, l := range lives {
			if names[l.Name] && l.Gone.IsZero() {
				return false
			}
		}
		return true
	}
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

// finish removes the workload. Its namespace goes in the background.
func (r *cellRun) finish(ctx context.Context) error {
	return r.cluster.deleteNamespace(ctx, r.namespace())
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
