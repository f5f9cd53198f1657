package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/load/loadpod"
)

// ground is where a cell takes place: a workload in a namespace of its own, with
// load on it.
type ground struct {
	cluster   *cluster
	namespace string
	// manifests are those of the cell.
	manifests Manifests
	loader    *loadpod.Pod
	// restartTimeout bounds one restart, until its last old pod is gone.
	restartTimeout time.Duration

	target string
	pods   *watcher
}

// prepare creates the workload, after its policy where it has one. The pods are
// watched until watching ends.
func (g *ground) prepare(watching, ctx context.Context) error {
	if err := g.cluster.createNamespace(ctx, g.namespace); err != nil {
		return err
	}
	if g.manifests.Policy != nil {
		if err := g.cluster.applyPolicy(ctx, g.manifests); err != nil {
			return err
		}
	}
	var err error
	if g.pods, err = watchPods(watching, g.cluster.typed, g.namespace); err != nil {
		return err
	}
	g.target, err = g.cluster.createWorkload(ctx, g.manifests)
	return err
}

// begin sends load to the workload.
func (g *ground) begin(ctx context.Context, cfg load.Config) error {
	cfg.Target, cfg.AwaitSeconds = g.target, 30
	return g.loader.Begin(ctx, cfg)
}

// restart replaces every pod and waits until the last old one is gone.
func (g *ground) restart(ctx context.Context) (Restart, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.restartTimeout, fmt.Errorf("a restart took longer than %s", g.restartTimeout))
	defer cancel()
	old := g.pods.lives()
	now := Restart{Start: time.Now()}
	name := g.manifests.Deployment.Name
	generation, err := g.cluster.restart(ctx, g.namespace, name, now.Start)
	if err != nil {
		return now, err
	}
	if err := g.cluster.waitComplete(ctx, g.namespace, name, generation); err != nil {
		return now, err
	}
	now.Complete = time.Now()
	if err := g.pods.wait(ctx, "the old pods to go", allGone(old)); err != nil {
		return now, err
	}
	now.Last = time.Now()
	return now, nil
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

// finish removes the workload. Its namespace goes in the background.
func (g *ground) finish(ctx context.Context) error {
	return g.cluster.deleteNamespace(ctx, g.namespace)
}

// look is a cell's state now, under a name: what is unknown at the moment is
// left out.
func (g *ground) look(ctx context.Context, name string) string {
	draining := 0
	for _, l := range g.pods.lives() {
		if l.Draining() {
			draining++
		}
	}
	live, err := g.loader.Live(ctx)
	if err != nil {
		return fmt.Sprintf("%s: %d draining", name, draining)
	}
	return fmt.Sprintf("%s: %5d sent %3d failed %d draining", name, live.Requests, live.Failed, draining)
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
