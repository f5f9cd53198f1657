package gate

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/audit"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// heldPods are held at once.
	heldPods = 200
	// slack is what a release may take beyond the probe's period.
	slack = 250 * time.Millisecond
	// spread is the time within which the pods drain, one after the other.
	spread = 20 * time.Second
)

// held holds pods until they have drained: all of them at once, and then
// others one after the other.
func (b *bench) held(ctx context.Context) error {
	for _, course := range []struct {
		what   string
		spread time.Duration
	}{{"all drained at once", 0}, {fmt.Sprintf("drained within %v", spread), spread}} {
		w := fleet.Workload{Namespace: fmt.Sprintf("held-%d", int(course.spread.Seconds())), Name: "web"}
		if err := b.holdAll(ctx, w, course.what, course.spread); err != nil {
			return fmt.Errorf("%s: %w", course.what, err)
		}
	}
	return b.terminated(ctx)
}

func (b *bench) holdAll(ctx context.Context, w fleet.Workload, what string, spread time.Duration) error {
	policy := holdPolicy(w)
	pods, err := b.workload(ctx, w, policy)
	if err != nil {
		return err
	}
	if err := b.awaitReachable(ctx, w); err != nil {
		return err
	}
	b.say("%s: holding %d pods", what, len(pods))
	from := time.Now()
	for _, pod := range pods {
		if err := b.client.Delete(ctx, pod); !apierrors.IsTooManyRequests(err) {
			return fmt.Errorf("the deletion of %s is not refused: %w", pod.Name, err)
		}
	}
	if err := await(ctx, "all pods held", func(context.Context) (bool, error) { return b.waitFor(pods, v1alpha1.WaitingForRequests), nil }); err != nil {
		return fmt.Errorf("%w: %v", err, b.waits(pods))
	}
	gone, err := b.drainAll(ctx, pods, spread)
	if err != nil {
		return err
	}
	period := time.Duration(policy.Spec.DrainStatus.HTTP.PeriodSeconds) * time.Second
	b.tell(
		gone.Figure(Group, fmt.Sprintf("%d held, %s: from drained to gone", len(pods), what), 0.5),
		gone.Figure(Group, fmt.Sprintf("%d held, %s: from drained to gone", len(pods), what), 0.99).AtMost(perf.Millis(period+slack)),
	)
	if err := b.removeAll(ctx, pods); err != nil {
		return err
	}
	return b.written(fmt.Sprintf("hold Deletion, %s", what), from, len(pods))
}

// drainAll has every pod drained, and waits until its deletion is accepted.
func (b *bench) drainAll(ctx context.Context, pods []*corev1.Pod, spread time.Duration) (perf.Sample, error) {
	drained := make([]time.Time, len(pods))
	for i, pod := range pods {
		if spread > 0 {
			time.Sleep(spread / time.Duration(len(pods))) // the pace is what is asked for
		}
		drained[i] = time.Now()
		b.kubelet.setBusy(b.kubelet.of(pod.UID).pod.Status.PodIP, false)
	}
	var gone perf.Sample
	for i, pod := range pods {
		if err := await(ctx, pod.Name+" gone", func(context.Context) (bool, error) { return !b.kubelet.of(pod.UID).deleted.IsZero(), nil }); err != nil {
			return nil, err
		}
		gone = append(gone, b.kubelet.of(pod.UID).deleted.Sub(drained[i]))
	}
	return gone, nil
}

// terminated counts what is written for pods under hold Termination.
func (b *bench) terminated(ctx context.Context) error {
	w := fleet.Workload{Namespace: "terminated", Name: "web"}
	pods, err := b.workload(ctx, w, w.Policy())
	if err != nil {
		return err
	}
	from := time.Now()
	for _, pod := range pods {
		if err := b.client.Delete(ctx, pod); err != nil {
			return err
		}
	}
	if err := b.removeAll(ctx, pods); err != nil {
		return err
	}
	return b.written("hold Termination", from, len(pods))
}

// removeAll does the kubelet's last part, and waits until the drains are counted.
func (b *bench) removeAll(ctx context.Context, pods []*corev1.Pod) error {
	for _, pod := range pods {
		if err := b.kubelet.remove(ctx, pod); err != nil {
			return err
		}
	}
	return await(ctx, "the drains counted", func(ctx context.Context) (bool, error) {
		p := &v1alpha1.DrainPolicy{}
		if err := b.client.Get(ctx, client.ObjectKey{Namespace: pods[0].Namespace, Name: "web"}, p); err != nil {
			return false, err
		}
		c := p.Status.Drains
		return c.Drained+c.Forced+c.Skipped+c.TimedOut+c.Unknown == int64(len(pods)), nil
	})
}

// written tells what the operator wrote since a time, for each pod.
func (b *bench) written(what string, from time.Time, pods int) error {
	requests, err := audit.Read(b.audit, from, time.Now())
	if err != nil {
		return err
	}
	total := perf.Figure{What: what + ": writes for each drained pod", Value: float64(requests.Of(audit.Writes)) / float64(pods), Unit: "writes", Samples: pods}
	if what == "hold Termination" {
		total = total.AtMost(2)
	}
	b.tell(total)
	for request, count := range requests[audit.Writes] {
		b.tell(perf.Figure{What: what + ": " + request + ", for each drained pod", Value: float64(count) / float64(pods), Unit: "writes", Samples: pods})
	}
	return nil
}

func (b *bench) waitFor(pods []*corev1.Pod, what v1alpha1.WaitingFor) bool {
	return b.waits(pods)[what] == len(pods)
}

// waits counts what pods wait for.
func (b *bench) waits(pods []*corev1.Pod) map[v1alpha1.WaitingFor]int {
	counts := map[v1alpha1.WaitingFor]int{}
	for _, pod := range pods {
		counts[drain.HeldFor(b.kubelet.of(pod.UID).pod)]++
	}
	return counts
}

// workload makes a namespace with a policy and its pods, which all run and owe
// something.
func (b *bench) workload(ctx context.Context, w fleet.Workload, policy *v1alpha1.DrainPolicy) ([]*corev1.Pod, error) {
	if err := b.namespace(ctx, w.Namespace, policy); err != nil {
		return nil, err
	}
	if _, err := b.start(ctx, w, heldPods); err != nil { // pods are injected from here on
		return nil, err
	}
	pods := make([]*corev1.Pod, heldPods)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i := range pods {
		group.Go(func() (err error) {
			pods[i], err = b.start(ctx, w, i)
			return err
		})
	}
	return pods, group.Wait()
}
