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

// Seen is what was seen of every cell, by chapter.
type Seen struct {
	Cells []Cell
	Grace []GraceCell
}

// Run runs every cell and writes progress to out. Whatever it created is
// removed when it returns, also when ctx is cancelled; what an earlier run left
// behind is removed first.
func Run(ctx context.Context, config *rest.Config, cfg Config, out io.Writer) (seen Seen, err error) {
	if err := cfg.check(); err != nil {
		return seen, err
	}
	c, err := newCluster(config)
	if err != nil {
		return seen, fmt.Errorf("demo: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, c.clean(ctx))
	}()
	p := newProgress(out)
	p.say("removing what an earlier run left behind")
	if err := c.clean(ctx); err != nil {
		return seen, err
	}
	d := &runner{cluster: c, cfg: cfg, progress: p}
	err = d.chapters(ctx, &seen)
	return seen, err
}

// runner is a demo under way.
type runner struct {
	cluster  *cluster
	cfg      Config
	progress *progress
	// loaders are the load generators: they stay for all cells.
	loaders   []*loadpod.Pod
	manifests map[string]Manifests
}

func (d *runner) chapters(ctx context.Context, seen *Seen) error {
	if err := d.startLoaders(ctx); err != nil {
		return err
	}
	if d.cfg.Has(ChapterRollout) {
		if err := d.rollouts(ctx, seen); err != nil {
			return err
		}
	}
	if d.cfg.Has(ChapterGrace) {
		var err error
		if seen.Grace, err = d.grace(ctx); err != nil {
			return fmt.Errorf("the grace period: %w", err)
		}
	}
	return nil
}

// startLoaders starts as many load generators as there are cells at a time.
func (d *runner) startLoaders(ctx context.Context) error {
	if err := d.cluster.createNamespace(ctx, loaders); err != nil {
		return err
	}
	n := 0
	if d.cfg.Has(ChapterRollout) {
		n = len(d.cfg.Workloads)
	}
	if d.cfg.Has(ChapterGrace) {
		n = max(n, len(d.cfg.Grace.Settings))
	}
	d.progress.say("starting %d load generators", n)
	for i := range n {
		l, err := loadpod.Start(ctx, d.cluster.config, loaders, fmt.Sprintf("load-%d", i), d.cfg.Image)
		if err != nil {
			return err
		}
		d.loaders = append(d.loaders, l)
	}
	return nil
}

// rollouts is the chapter on rollouts.
func (d *runner) rollouts(ctx context.Context, seen *Seen) error {
	d.manifests = map[string]Manifests{}
	for _, w := range d.cfg.Workloads {
		m, err := ReadManifests(filepath.Join(d.cfg.Examples, w))
		if err != nil {
			return err
		}
		d.manifests[w] = m
	}
	for _, t := range d.cfg.Treatments {
		done, err := d.treatment(ctx, t)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Title(), err)
		}
		seen.Cells = append(seen.Cells, done...)
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
		namespace := fmt.Sprintf("demo-%s-%s", t, w)
		runs[i] = &cellRun{cfg: d.cfg, workload: w, treatment: t, ground: ground{
			cluster: d.cluster, namespace: namespace, manifests: d.manifests[w].Adapt(namespace, t, d.cfg),
			loader: d.loaders[i], restartTimeout: d.cfg.RestartTimeout,
		}}
		preparing.Go(func() error { return runs[i].prepare(watching, prepareCtx) })
	}
	if err := preparing.Wait(); err != nil {
		return nil, err
	}
	return d.underLoad(ctx, t, runs)
}

func (d *runner) underLoad(ctx context.Context, t Treatment, runs []*cellRun) ([]Cell, error) {
	stopShowing := show(ctx, d.progress, t.Title(), runs)
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
