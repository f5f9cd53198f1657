// Package runner produces the cells of the table of guarantees on the cluster
// that KUBECONFIG names and on which the operator is deployed.
package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/perf/operator"
)

const (
	// setupTimeout bounds a ground's setup, eventTimeout one event on it.
	setupTimeout, eventTimeout = 4 * time.Minute, 8 * time.Minute
	cleanTimeout               = 2 * time.Minute
)

// Workload is a server as it is deployed. Its pods are labelled app: App, as
// the Deployment is named.
type Workload struct {
	App     string
	Objects []client.Object
	// Policy is nil where there is none.
	Policy                 *v1alpha1.DrainPolicy
	WebSocket, EventStream bool
}

// Settings of a run.
type Settings struct {
	// Workload makes the objects of a server.
	Workload func(server string, variant guarantees.Variant, namespace string, replicas int32) (Workload, error)
	// Front puts a load balancer in front of an app and returns its address.
	Front func(ctx context.Context, namespace, app, balancer string) (address string, err error)
	// LoadImage has the load generator at /load.
	LoadImage string
	Replicas  int32
	// Requests are how many each client sends at least, Part where nothing is
	// to be proven.
	Requests, Part int
	Load           Load
	Parallel       int
	Cost           guarantees.Cost
	// Say tells a person what goes on, Done keeps a cell that is finished.
	Say  func(string, ...any)
	Done func(guarantees.Cell) error
}

// runner is a run under way.
type runner struct {
	Settings
	*framework.Env
	operator operator.Operator
	begun    time.Time

	mu sync.Mutex
	// left are the grounds to come or under way, done what the finished ones
	// should have taken.
	left    []guarantees.Ground
	planned time.Duration
	running map[*ground]struct{}
	errs    []error
	// share of the load that is sent: less, once the machine was overrun.
	share float64
}

// Run runs the grounds, so many at a time. One that fails does not stop the
// others; the error names all that did. What it created is removed when it
// returns, what a killed run left behind before it begins.
func Run(ctx context.Context, env *framework.Env, grounds []guarantees.Ground, s Settings) (err error) {
	r := &runner{
		Settings: s, Env: env, operator: operator.Operator{Env: env}, begun: time.Now(),
		left: slices.Clone(grounds), running: map[*ground]struct{}{}, share: 1,
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
		defer cancel()
		err = errors.Join(err, r.clean(ctx))
	}()
	if err := r.clean(ctx); err != nil {
		return err
	}
	stop := r.show(ctx)
	defer stop()
	up, down := split(grounds)
	r.alongside(ctx, up)
	for batch := range slices.Chunk(down, r.Parallel) {
		r.withoutOperator(ctx, batch)
	}
	return errors.Join(errors.Join(r.errs...), ctx.Err())
}

// split tells grounds with the operator from those without.
func split(grounds []guarantees.Ground) (up, down []guarantees.Ground) {
	for _, g := range grounds {
		if g.Operator == guarantees.Down {
			down = append(down, g)
		} else {
			up = append(up, g)
		}
	}
	return up, down
}

// alongside runs grounds from their setup to their end, so many at a time.
func (r *runner) alongside(ctx context.Context, grounds []guarantees.Ground) {
	var all sync.WaitGroup
	slots := make(chan struct{}, r.Parallel)
	for _, of := range grounds {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			g := r.newGround(of)
			err := g.prepare(ctx)
			if err == nil {
				err = g.events(ctx)
			}
			r.finished(ctx, g, err)
		})
	}
	all.Wait()
}

// withoutOperator sets grounds up, takes the operator away, lets the events
// take place and brings it back.
func (r *runner) withoutOperator(ctx context.Context, batch []guarantees.Ground) {
	if ctx.Err() != nil {
		return
	}
	grounds := make([]*ground, len(batch))
	errs := make([]error, len(batch))
	each := func(do func(context.Context, *ground) error) {
		var all sync.WaitGroup
		for i := range batch {
			if errs[i] == nil {
				all.Go(func() { errs[i] = do(ctx, grounds[i]) })
			}
		}
		all.Wait()
	}
	for i, of := range batch {
		grounds[i] = r.newGround(of)
	}
	each(func(ctx context.Context, g *ground) error { return g.prepare(ctx) })
	start, err := r.stopOperator(ctx)
	if err != nil {
		each(func(context.Context, *ground) error { return err })
	}
	each(func(ctx context.Context, g *ground) error { return g.events(ctx) })
	err = start(context.WithoutCancel(ctx))
	for i, g := range grounds {
		r.finished(ctx, g, errors.Join(errs[i], err))
	}
}

// stopOperator takes all replicas away until start is called, which is to be
// called also after an error.
func (r *runner) stopOperator(ctx context.Context) (start func(context.Context) error, err error) {
	before, err := r.operator.Scale(ctx, 0)
	if err != nil {
		return func(context.Context) error { return nil }, err
	}
	start = func(ctx context.Context) error {
		_, err := r.operator.Scale(ctx, before)
		return errors.Join(err, r.operator.AwaitRollout(ctx))
	}
	r.Say("the operator is taken away")
	return start, r.operator.AwaitRollout(ctx)
}

// finished removes a ground and tells how far the run is.
func (r *runner) finished(ctx context.Context, g *ground, err error) {
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err = errors.Join(err, g.remove(cleaning))
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.running, g)
	r.left = slices.DeleteFunc(r.left, func(l guarantees.Ground) bool { return l.Key(l.Events[0]) == g.Key(g.Events[0]) })
	r.planned += r.Cost.Ground(g.Ground)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s: %w", g.name(), err)
		r.errs = append(r.errs, err)
		r.Say("FAILED %v", err)
	}
	r.Say("%d workloads to go, about %s", len(r.left), r.remaining().Round(time.Minute))
}

// remaining is estimated by what the finished grounds took against the plan.
func (r *runner) remaining() time.Duration {
	left := r.Cost.Of(r.left, r.Parallel)
	if planned := r.planned / time.Duration(r.Parallel); planned > 0 {
		left = time.Duration(float64(left) * float64(time.Since(r.begun)) / float64(planned))
	}
	return left
}

// slowDown lowers what is sent from now on, and says whether it makes sense.
func (r *runner) slowDown() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.share *= slower
	return r.share >= slowest
}
