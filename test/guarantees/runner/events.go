package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/test/demo"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/guarantees"
)

// warmup is how long load goes on before the first pod ends, and after the last.
const warmup = 3 * time.Second

// underLoad repeats an event until enough was sent, and waits until the last
// pod is gone: what a drain cuts, it may cut at its end.
func (g *ground) underLoad(ctx context.Context, e guarantees.Event) error {
	if err := pause(ctx, warmup); err != nil {
		return err
	}
	for steps := 0; ; steps++ {
		enough, err := g.enough(ctx)
		if err != nil {
			return err
		}
		if steps >= g.steps(e) && (enough || g.Operator == guarantees.Down) {
			break
		}
		if err := g.step(ctx, e); err != nil {
			return err
		}
		// Pods that drain need memory, too.
		if err := g.pods.wait(ctx, "some drains to end", func(l []demo.Life) bool { return draining(l) < int(g.Replicas) }); err != nil {
			return err
		}
	}
	if err := g.pods.wait(ctx, "the drains to end", func(l []demo.Life) bool { return draining(l) == 0 }); err != nil {
		return err
	}
	return g.awaitEnough(ctx)
}

// steps is how often a step of an event is done at least: once all pods that
// there are. With the operator down it is done no more often: pods that come
// then have no hook.
func (g *ground) steps(e guarantees.Event) int {
	switch {
	case e == guarantees.Eviction:
		return int(g.Replicas)
	case g.Operator == guarantees.Down:
		return 1
	}
	return 2
}

func (g *ground) enough(ctx context.Context) (bool, error) {
	live, err := g.loader.Live(ctx)
	return err == nil && g.load.enough(live, g.workload, g.requests()), err
}

func (g *ground) awaitEnough(ctx context.Context) error {
	if err := pause(ctx, warmup); err != nil {
		return err
	}
	for {
		if enough, err := g.enough(ctx); enough || err != nil {
			return err
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

// step is one time of an event.
func (g *ground) step(ctx context.Context, e guarantees.Event) error {
	switch e {
	case guarantees.Rollout:
		patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
		if err := g.patch(ctx, patch); err != nil {
			return err
		}
		return g.awaitComplete(ctx)
	case guarantees.ScaleDown:
		return g.downAndUp(ctx)
	case guarantees.Eviction:
		return g.evictOne(ctx)
	}
	return fmt.Errorf("unknown event %q", e)
}

func (g *ground) patch(ctx context.Context, patch string) error {
	return g.Client.Patch(ctx, g.deployment(), client.RawPatch("application/strategic-merge-patch+json", []byte(patch)))
}

func (g *ground) scale(ctx context.Context, replicas int32) error {
	if err := g.patch(ctx, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas)); err != nil {
		return err
	}
	return g.awaitComplete(ctx)
}

// downAndUp lets half of the pods go and, when they are gone, come again.
func (g *ground) downAndUp(ctx context.Context) error {
	if err := g.scale(ctx, g.Replicas/2); err != nil {
		return err
	}
	if err := g.pods.wait(ctx, "the drains to end", func(l []demo.Life) bool { return draining(l) == 0 && serving(l) == int(g.Replicas/2) }); err != nil {
		return err
	}
	return g.scale(ctx, g.Replicas)
}

// evictOne evicts the oldest pod and waits for the one in its place.
func (g *ground) evictOne(ctx context.Context) error {
	pod := oldest(g.pods.last())
	if pod == nil {
		return errors.New("no pod to evict")
	}
	err := g.Kube.CoreV1().Pods(g.namespace).EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: g.namespace}})
	if err != nil {
		return fmt.Errorf("evicting %s: %w", pod.Name, err)
	}
	gone := func(lives []demo.Life) bool {
		for _, l := range lives {
			if l.Name == pod.Name {
				return !l.Deleted.IsZero()
			}
		}
		return true
	}
	if err := g.pods.wait(ctx, "the evicted pod to go", gone); err != nil {
		return err
	}
	return g.pods.wait(ctx, "the pod in its place", func(l []demo.Life) bool { return serving(l) >= int(g.Replicas) })
}

// oldest is the pod that serves for the longest time, nil where none does.
func oldest(pods []*corev1.Pod) *corev1.Pod {
	var found *corev1.Pod
	for _, p := range pods {
		if p.DeletionTimestamp == nil && framework.Ready(p) && (found == nil || p.CreationTimestamp.Before(&found.CreationTimestamp)) {
			found = p
		}
	}
	return found
}

func draining(lives []demo.Life) int { return count(lives, demo.Life.Draining) }

func serving(lives []demo.Life) int {
	return count(lives, func(l demo.Life) bool { return l.Deleted.IsZero() && !l.Ready.IsZero() })
}

func count(lives []demo.Life, is func(demo.Life) bool) int {
	n := 0
	for _, l := range lives {
		if is(l) {
			n++
		}
	}
	return n
}

// endsOf are the ends of the pods that were deleted from a time on. With the
// operator up each must have had a hook where there is a policy.
func endsOf(lives []demo.Life, from time.Time, covered bool) ([]guarantees.End, error) {
	var ends []guarantees.End
	for _, l := range lives {
		if l.Deleted.Before(from) {
			continue
		}
		if covered && !l.Injected {
			return nil, fmt.Errorf("pod %s ended and had no hook", l.Name)
		}
		ends = append(ends, guarantees.End{Held: l.Held(), Outcome: l.Outcome, Killed: l.ExitCode == 137})
	}
	if len(ends) == 0 {
		return nil, errors.New("no pod ended under load")
	}
	return ends, nil
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
