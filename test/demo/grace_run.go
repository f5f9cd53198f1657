package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// grace is the chapter on the grace period.
func (d *runner) grace(ctx context.Context) ([]GraceCell, error) {
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	node, err := d.cluster.pickNode(ctx)
	if err != nil {
		return nil, err
	}
	runs, err := d.graceRuns(node.Name, node.Labels["kubernetes.io/hostname"])
	if err != nil {
		return nil, err
	}
	d.progress.say("the grace period: starting %d × %d pods", len(runs), d.cfg.Grace.Replicas)
	if err := each(watching, runs, func(ctx context.Context, r *graceRun) error { return r.prepare(watching, ctx) }); err != nil {
		return nil, err
	}
	var following sync.WaitGroup
	defer following.Wait()
	defer stopWatching()
	for _, r := range runs {
		if r.cell.Setting == Tuned {
			following.Go(func() { r.follow(watching) })
		}
	}
	return d.graceStages(ctx, runs)
}

func (d *runner) graceStages(ctx context.Context, runs []*graceRun) ([]GraceCell, error) {
	for _, stage := range []struct {
		title string
		of    func(Setting) bool
		run   func(*graceRun, context.Context) error
	}{
		{"learning", func(s Setting) bool { return s == Tuned }, (*graceRun).learn},
		{"rollout", func(Setting) bool { return true }, (*graceRun).rollout},
		{"node drain", func(Setting) bool { return true }, (*graceRun).drain},
	} {
		var these []*graceRun
		for _, r := range runs {
			if stage.of(r.cell.Setting) {
				these = append(these, r)
			}
		}
		if err := d.graceStage(ctx, stage.title, these, stage.run); err != nil {
			return nil, fmt.Errorf("%s: %w", stage.title, err)
		}
	}
	return d.graceCells(ctx, runs)
}

func (d *runner) graceRuns(node, hostname string) ([]*graceRun, error) {
	m, err := ReadManifests(filepath.Join(d.cfg.Examples, d.cfg.Grace.Workload))
	if err != nil {
		return nil, err
	}
	var runs []*graceRun
	for i, s := range d.cfg.Grace.Settings {
		namespace := fmt.Sprintf("demo-grace-%s", s)
		adapted, err := m.AdaptGrace(namespace, hostname, s, d.cfg)
		if err != nil {
			return nil, err
		}
		runs = append(runs, &graceRun{
			cfg: d.cfg.Grace, node: node, cell: GraceCell{Setting: s},
			ground: ground{
				cluster: d.cluster, namespace: namespace, manifests: adapted,
				loader: d.loaders[i], restartTimeout: d.cfg.Grace.RestartTimeout,
			},
		})
	}
	return runs, nil
}

// graceStage runs a stage of cells at the same time: what one does to the node,
// it does to all.
func (d *runner) graceStage(ctx context.Context, title string, runs []*graceRun, run func(*graceRun, context.Context) error) error {
	defer show(ctx, d.progress, title, runs)()
	return each(ctx, runs, func(ctx context.Context, r *graceRun) error { return run(r, ctx) })
}

func (d *runner) graceCells(ctx context.Context, runs []*graceRun) ([]GraceCell, error) {
	var cells []GraceCell
	for _, r := range runs {
		if err := r.finish(ctx); err != nil {
			return nil, err
		}
		cells = append(cells, r.cell)
	}
	return cells, d.cluster.uncordon(ctx)
}

// each runs f for all at the same time.
func each[T any](ctx context.Context, all []T, f func(context.Context, T) error) error {
	running, ctx := errgroup.WithContext(ctx)
	for _, one := range all {
		running.Go(func() error { return f(ctx, one) })
	}
	return running.Wait()
}

// graceRun is a cell of the chapter under way.
type graceRun struct {
	ground
	cfg    GraceConfig
	node   string
	advice advice
	cell   GraceCell
}

// rollout restarts the workload under load, with one pod that hangs.
func (r *graceRun) rollout(ctx context.Context) error {
	if err := r.begin(ctx, r.cfg.Load); err != nil {
		return err
	}
	if err := pause(ctx, r.cfg.Warmup); err != nil {
		return err
	}
	if err := r.hang(ctx); err != nil {
		return err
	}
	done, err := r.restart(ctx)
	if err != nil {
		return err
	}
	r.cell.Restarts = []Restart{done}
	return pause(ctx, r.cfg.Settle)
}

// hang makes one of the pods hang.
func (r *graceRun) hang(ctx context.Context) error {
	for _, l := range r.pods.lives() {
		if l.Deleted.IsZero() && !l.Ready.IsZero() {
			r.cell.Hung = append(r.cell.Hung, l.Name)
			return r.cluster.leak(ctx, r.namespace, l.Name)
		}
	}
	return errors.New("no pod is ready that could hang")
}

// drain drains the node while requests are under way. New ones end as it begins:
// nobody could answer them, since pods have nowhere else to go.
func (r *graceRun) drain(ctx context.Context) error {
	if err := r.hang(ctx); err != nil {
		return err
	}
	if err := r.cluster.markDrained(ctx, r.node); err != nil {
		return err
	}
	old := r.pods.lives()
	r.cell.Recommended, r.cell.Observed = r.advice.all()
	if err := r.loader.Stop(ctx); err != nil {
		return err
	}
	var err error
	if r.cell.Drain, err = drainNode(ctx, r.node, r.cell.Setting, r.cfg.DrainTimeout); err != nil {
		return err
	}
	if r.cell.Load, err = r.loader.Finish(ctx); err != nil {
		return err
	}
	return r.seeGone(ctx, old)
}

// seeGone waits until the watch has seen, too, that pods are gone, and keeps
// what was seen of those that went under this load.
func (r *graceRun) seeGone(ctx context.Context, old []Life) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := r.pods.wait(ctx, "the drained pods to go", allGone(old)); err != nil {
		return err
	}
	for _, l := range r.pods.lives() {
		if l.Gone.IsZero() || l.Gone.After(r.cell.Load.StartedAt) {
			r.cell.Lives = append(r.cell.Lives, l)
		}
	}
	return nil
}

// look is the cell's state now, in a few words.
func (r *graceRun) look(ctx context.Context) string {
	words := r.ground.look(ctx, string(r.cell.Setting))
	if said := r.advice.words(); said != "" {
		words += ", " + said
	}
	return words
}
