package release

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
)

const (
	// firstEnd is how long the first request takes: longer than it takes until
	// the hook runs and the pod is out of rotation. The others follow.
	firstEnd  = 5 * time.Second
	endsApart = 250 * time.Millisecond

	glance      = 50 * time.Millisecond
	underWayMax = 30 * time.Second
)

type bench struct {
	*onpods.Namespace
	say     func(string, ...any)
	image   string
	modes   []mode
	samples map[string]perf.Sample
	// tooEarly counts drains whose last response came while the pod was still
	// in rotation: they say nothing about the release.
	tooEarly int
	// failed counts drains that did not end as they should.
	failed int
}

// one is a pod of a wave.
type one struct {
	mode mode
	pod  *corev1.Pod
	// work is how long its request takes.
	work time.Duration
}

// wave makes pods, each with one request under way, deletes them all and takes
// the time of each.
func (b *bench) wave(ctx context.Context, number int) error {
	pods := b.lineUp(number)
	if err := each(ctx, pods, b.start); err != nil {
		return err
	}
	requests, ctx := errgroup.WithContext(ctx)
	for _, p := range pods {
		requests.Go(func() error { return b.request(ctx, p) })
	}
	if err := each(ctx, pods, b.awaitUnderWay); err != nil {
		return err
	}
	for _, p := range pods {
		if err := b.Client.Delete(ctx, p.pod); err != nil {
			return err
		}
	}
	if err := requests.Wait(); err != nil {
		return err
	}
	for _, p := range pods {
		if err := b.take(context.WithoutCancel(ctx), p); err != nil {
			return fmt.Errorf("pod %s: %w", p.pod.Name, err)
		}
	}
	return nil
}

// lineUp mixes the modes: each wave another one comes first.
func (b *bench) lineUp(number int) []one {
	var pods []one
	for i := range perWave * len(b.modes) {
		m := b.modes[(i+number)%len(b.modes)]
		pods = append(pods, one{m, b.pod(m, fmt.Sprintf("w%d-%d", number, i)), firstEnd + time.Duration(i)*endsApart})
	}
	return pods
}

// each does something with all pods at once.
func each(ctx context.Context, pods []one, do func(context.Context, one) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range pods {
		group.Go(func() error { return do(ctx, p) })
	}
	return group.Wait()
}

func (b *bench) start(ctx context.Context, p one) error {
	p.pod.Namespace = b.Name
	if err := b.Client.Create(ctx, p.pod); err != nil {
		return err
	}
	if !onpods.Injected(p.pod) {
		return fmt.Errorf("pod %s is not injected", p.pod.Name)
	}
	_, err := b.AwaitReady(ctx, p.pod.Name)
	return err
}

// request makes the pod work, through the API server.
func (b *bench) request(ctx context.Context, p one) error {
	_, err := b.call(ctx, p, framework.WorkPort, "work", map[string]string{"ms": strconv.FormatInt(p.work.Milliseconds(), 10)})
	if err != nil {
		return fmt.Errorf("the request to pod %s was cut: %w", p.pod.Name, err)
	}
	return nil
}

func (b *bench) awaitUnderWay(ctx context.Context, p one) error {
	return wait.PollUntilContextTimeout(ctx, glance, underWayMax, true, func(ctx context.Context) (bool, error) {
		body, err := b.call(ctx, p, framework.StatusPort, "drain-status", nil)
		if err != nil {
			return false, err
		}
		var status struct{ InFlight int }
		return json.Unmarshal(body, &status) == nil && status.InFlight > 0, nil
	})
}

func (b *bench) call(ctx context.Context, p one, port int, path string, params map[string]string) ([]byte, error) {
	r := b.Kube.CoreV1().RESTClient().Get().Namespace(b.Name).Resource("pods").
		Name(fmt.Sprintf("%s:%d", p.pod.Name, port)).SubResource("proxy").Suffix(path)
	for key, value := range params {
		r.Param(key, value)
	}
	return r.DoRaw(ctx)
}
