package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/drain-operator/drain-operator/test/load/loadpod"
)

// cleanTimeout bounds the removal of what the demo made.
const cleanTimeout = 2 * time.Minute

// loaders is the namespace of the load generators.
const loaders = "demo-load"

// Run runs every cell and writes progress to out. Whatever it created is
// removed when it returns, also when ctx is cancelled; what an earlier run left
// behind is removed first.
func Run(ctx context.Context, config *rest.Config, cfg Config, out io.Writer) (cells []Cell, err error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c, err := newCluster(config)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, c.clean(ctx))
	}()
	p := newProgress(out)
	p.say("removing what an earlier run left behind")
	if err := c.clean(ctx); err != nil {
		return nil, err
	}
	d := &runner{cluster: c, cfg: cfg, progress: p, loaders: map[string]*loadpod.Pod{}, manifests: map[string]Manifests{}}
	if err := d.setUp(ctx); err != nil {
		return nil, err
	}
	for _, t := range cfg.Treatments {
		done, err := d.treatment(ctx, t)
		if err != nil {
			return cells, fmt.Errorf("%s: %w", t.Title(), err)
		}
		cells = append(cells, done...)
	}
	return cells, nil
}

// runner is a demo under way.
type runner struct {
	cluster   *cluster
	cfg       Config
	progress  *progress
	loaders   map[string]*loadpod.Pod
	manifests map[string]Manifests
}

// setUp reads the examples and starts a load generator per workload: they stay
// for all treatments.
func (d *runner) setUp(ctx context.Context) error {
	if err := d.cluster.createNamespace(ctx, loaders); err != nil {
		return err
	}
	d.progress.say("starting %d load generators", len(d.cfg.Workloads))
	for _, w := range d.cfg.Workloads {
		m, err := ReadManifests(filepath.Join(d.cfg.Examples, w))
		if err != nil {
			return err
		}
		d.manifests[w] = m
		if d.loaders[w], err = loadpod.Start(ctx, d.cluster.config, loaders, "load-"+w, d.cfg.Image); err != nil {
			return err
		}
	}
	return nil
}

// treatment runs the cells of one treatment at the same time.
func (d *runner) treatment(ctx context.Context, t Treatment) ([]Cell, error) {
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	d.progress.say("%s: starting %d × %d pods", t.Title(), len(d.cfg.Workloads), d.cfg.Replicas)
	runs := make([]*cellRun, len(d.cfg.Workloads))
	preparing, prepareCtx := errgroup.WithContext(watching)
	for i, w := range d.cfg.Workloads {
		runs[i] = &cellRun{
			cluster: d.cluster, cfg: d.cfg, workload: w, treatment: t,
			manifests: d.manifests[w], progress: d.progress, loader: d.loaders[w],
		}
		preparing.Go(func() error { return runs[i].prepare(watching, prepareCtx) })
	}
	if err := preparing.Wait(); err != nil {
		return nil, err
	}
	return d.underLoad(ctx, t, runs)
}

func (d *runner) underLoad(ctx context.Context, t Treatment, runs []*cellRun) ([]Cell, error) {
	stopShowing := d.progress.show(ctx, t, runs)
	defer stopShowing()
	cells := make([]Cell, len(runs))
	running, runCtx := errgroup.WithContext(ctx)
	for i, r := range runs {
		running.Go(func() (err error) {
			cells[i], err = r.run(runCtx)
			return err
		})
	}
	if err := running.Wait(); err != nil {
		return nil, err
	}
	for _, r := range runs {
		if err := r.finish(ctx); err != nil {
			return nil, err
		}
	}
	return cells, nil
}
