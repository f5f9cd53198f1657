package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/demo"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/load/loadpod"
)

const glance = 200 * time.Millisecond

// ground is a workload behind a balancer in a namespace of its own, with a load
// generator.
type ground struct {
	guarantees.Ground
	*runner
	namespace string
	workload  Workload
	address   string
	pods      *watcher
	stopWatch context.CancelFunc
	loader    *loadpod.Pod
	// event is the one under way, with what is sent meanwhile.
	event guarantees.Event
	load  Load
}

func (r *runner) newGround(of guarantees.Ground) *ground {
	g := &ground{Ground: of, runner: r}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running[g] = struct{}{}
	return g
}

func (g *ground) name() string {
	k := g.Key("")
	return fmt.Sprintf("%s %s %s", k.Server, k.Variant, k.Balancer)
}

// prepare creates everything and waits until the workload can be reached.
func (g *ground) prepare(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, setupTimeout, fmt.Errorf("the setup took longer than %s", setupTimeout))
	defer cancel()
	if g.namespace, err = g.newNamespace(ctx); err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stopWatch = stop
	if g.workload, err = g.Workload(g.Server, g.Variant, g.namespace, g.Replicas); err != nil {
		return err
	}
	if g.pods, err = watchPods(watching, g.Kube, g.namespace, g.workload.App); err != nil {
		return err
	}
	loader := make(chan error, 1)
	go func() {
		var err error
		g.loader, err = loadpod.Start(ctx, g.Config, g.namespace, "load", g.LoadImage)
		loader <- err
	}()
	err = g.deploy(ctx)
	if err == nil {
		g.address, err = g.Front(ctx, g.namespace, g.workload.App, g.Balancer)
	}
	return errors.Join(err, <-loader)
}

// deploy creates the policy and then the workload, and waits for its pods.
func (g *ground) deploy(ctx context.Context) error {
	if g.workload.Policy != nil {
		if err := g.apply(ctx, g.workload.Policy); err != nil {
			return err
		}
	}
	for _, o := range g.workload.Objects {
		if err := g.Client.Create(ctx, o); err != nil {
			return fmt.Errorf("creating %T %s: %w", o, o.GetName(), err)
		}
	}
	if err := g.awaitComplete(ctx); err != nil {
		return errors.Join(err, g.whyNot())
	}
	return g.checkInjected()
}

// checkInjected: a cell is about pods with a hook, or about pods without.
func (g *ground) checkInjected() error {
	for _, l := range g.pods.lives() {
		if l.Injected != (g.workload.Policy != nil) {
			return fmt.Errorf("pod %s: injected is %t", l.Name, l.Injected)
		}
	}
	return nil
}

// apply creates a policy and waits until the operator says that pods are injected.
func (g *ground) apply(ctx context.Context, policy *v1alpha1.DrainPolicy) error {
	policy.Namespace = g.namespace
	if err := g.Client.Create(ctx, policy); err != nil {
		return fmt.Errorf("creating the DrainPolicy (is the operator deployed?): %w", err)
	}
	last := errors.New("no condition Ready yet")
	err := wait.PollUntilContextTimeout(ctx, glance, time.Minute, true, func(ctx context.Context) (bool, error) {
		if err := g.Client.Get(ctx, client.ObjectKeyFromObject(policy), policy); err != nil {
			return false, err
		}
		ready := meta.FindStatusCondition(policy.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil {
			last = fmt.Errorf("condition Ready is %s: %s: %s", ready.Status, ready.Reason, ready.Message)
		}
		return ready != nil && ready.Status == metav1.ConditionTrue, nil
	})
	if err != nil {
		return fmt.Errorf("the DrainPolicy is not ready: %w", errors.Join(err, last))
	}
	return nil
}

func (g *ground) deployment() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: g.namespace, Name: g.workload.App}}
}

// awaitComplete waits until the latest rollout is complete, in the words of
// kubectl rollout status.
func (g *ground) awaitComplete(ctx context.Context) error {
	d := g.deployment()
	err := wait.PollUntilContextCancel(ctx, glance, true, func(ctx context.Context) (bool, error) {
		if err := g.Client.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return false, err
		}
		s, want := d.Status, *d.Spec.Replicas
		return s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the rollout of %s: %w", d.Name, errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// whyNot gathers what pods wait for.
func (g *ground) whyNot() error {
	var errs []error
	for _, p := range g.pods.last() {
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			switch {
			case s.State.Waiting != nil:
				errs = append(errs, fmt.Errorf("pod %s: %s waits: %s: %s", p.Name, s.Name, s.State.Waiting.Reason, s.State.Waiting.Message))
			case s.State.Terminated != nil:
				errs = append(errs, fmt.Errorf("pod %s: %s ended: %d: %.300s", p.Name, s.Name, s.State.Terminated.ExitCode, s.State.Terminated.Message))
			}
		}
	}
	return errors.Join(errs...)
}

// events lets all events take place and hands their cells over.
func (g *ground) events(ctx context.Context) error {
	for _, e := range g.Events {
		err := g.happen(ctx, e)
		// With the operator down, pods that came meanwhile have no hook.
		for errors.Is(err, errOverrun) && g.Operator == guarantees.Up && g.slowDown() {
			g.Say("%s %s begins anew with less load: %v", g.name(), e, err)
			if err = g.settle(ctx); err == nil {
				err = g.happen(ctx, e)
			}
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e, err)
		}
	}
	return nil
}

// settle brings the workload back to what it was before an event.
func (g *ground) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, setupTimeout, fmt.Errorf("settling took longer than %s", setupTimeout))
	defer cancel()
	if err := g.scale(ctx, g.Replicas); err != nil {
		return err
	}
	return g.pods.wait(ctx, "the drains to end", func(l []demo.Life) bool { return draining(l) == 0 })
}

func (g *ground) happen(ctx context.Context, e guarantees.Event) error {
	ctx, cancel := context.WithTimeoutCause(ctx, eventTimeout, fmt.Errorf("it took longer than %s", eventTimeout))
	defer cancel()
	g.mu.Lock()
	g.event = e
	g.load = g.Load.at(g.share)
	g.mu.Unlock()
	key := g.Key(e)
	if err := g.loader.Begin(ctx, g.load.config(key, g.workload, g.address)); err != nil {
		return err
	}
	from := time.Now()
	watched, stop := g.watchLoad(ctx)
	err := g.underLoad(watched, e)
	if cause := context.Cause(watched); errors.Is(cause, errOverrun) {
		err = cause
	}
	stop()
	results, finishErr := g.loader.Finish(context.WithoutCancel(ctx))
	if err := errors.Join(err, finishErr); err != nil {
		return err
	}
	if err := late(results); err != nil {
		return err
	}
	ends, err := endsOf(g.pods.lives(), from, g.workload.Policy != nil)
	if err != nil {
		return err
	}
	cell := guarantees.Aggregate(key, results, ends)
	g.tell(cell, results)
	return g.Done(cell)
}

// watchLoad is done with an error as its cause when the machine is overrun.
func (g *ground) watchLoad(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		for pause(watched, time.Second) == nil {
			// Who cannot ask now asks again.
			if live, err := g.loader.Live(watched); err == nil {
				if err := g.load.overrun(live); err != nil {
					cancel(err)
				}
			}
		}
	}()
	return watched, func() { cancel(nil) }
}

// tell shows a finished cell, and failures in more detail than it keeps.
func (g *ground) tell(c guarantees.Cell, results load.Results) {
	g.Say("DONE %s", c)
	shown := 0
	for _, rec := range results.Records {
		if rec.Cause == load.Answered {
			continue
		}
		if shown++; shown > 5 {
			break
		}
		g.Say("     %s %s %s at %s, sent %s before, work %s", rec.Kind, rec.Method, rec.Cause,
			results.StartedAt.Add(rec.End()).Format("15:04:05.000"), rec.Latency.Round(time.Millisecond), rec.Work)
	}
	for _, session := range results.Sessions {
		if session.Kept() || session.Told > 0 && session.Lost == 0 {
			continue
		}
		if shown++; shown > 10 {
			break
		}
		g.Say("     %s %s after %s at %s, told %t, %d sent %d lost, pod %s", session.Kind, session.Cause, (session.End - session.Start).Round(time.Millisecond),
			results.StartedAt.Add(session.End).Format("15:04:05.000"), session.Told > 0, session.Sent, session.Lost, results.Pods[session.Pod])
	}
	for _, text := range results.Others[:min(3, len(results.Others))] {
		g.Say("     other: %s", text)
	}
}

// requests are how many each client is to send.
func (g *ground) requests() int {
	if g.Variant == guarantees.Covered {
		return g.Requests
	}
	return g.Part
}

// look is how far the event under way is.
func (g *ground) look(ctx context.Context) string {
	g.mu.Lock()
	event := g.event
	g.mu.Unlock()
	if event == "" {
		return g.name() + ": setup" // the fields are not to be read yet
	}
	live, err := g.loader.Live(ctx)
	if err != nil {
		return fmt.Sprintf("%s %s: ?", g.name(), event)
	}
	return fmt.Sprintf("%s %s: %d fresh %d busy %d failed, %d sessions %d told %d untold, %d draining", g.name(), event,
		live.Fresh, live.Requests-live.Fresh, live.Failed, live.Open, live.Told, live.Untold, draining(g.pods.lives()))
}

func (g *ground) newNamespace(ctx context.Context) (string, error) {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "guarantees-", Labels: map[string]string{label: "true"}}}
	if err := g.Client.Create(ctx, ns); err != nil {
		return "", fmt.Errorf("creating a namespace: %w", err)
	}
	return ns.Name, nil
}

func (g *ground) remove(ctx context.Context) error {
	if g.stopWatch != nil {
		g.stopWatch()
	}
	if g.namespace == "" {
		return nil
	}
	return g.deleteNamespace(ctx, g.namespace)
}
