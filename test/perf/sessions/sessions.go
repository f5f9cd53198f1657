// Package sessions measures on a real cluster what a rolling update does to
// connections that do not end by themselves: whether each client is told before
// its connection ends, how they come back, and whether messages are lost.
package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/load/loadpod"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
)

const (
	// Group is the name of this benchmark.
	Group = "sessions"
	// Plot is the file with the rate at which clients came back.
	Plot = "sessions.svg"
)

const (
	clients = 2000
	pods    = 4
	// noticeSeconds is the policy's: an even rate is clients/noticeSeconds for
	// pods that are all told at once.
	noticeSeconds = 20
	propagation   = 5
	// rest is how long clients are watched after the last old pod has gone.
	rest = 5 * time.Second

	app     = "web"
	patient = 2 * time.Minute
	glance  = 200 * time.Millisecond
)

// bench is a workload with clients on it.
type bench struct {
	*onpods.Namespace
	image string
	say   func(string, ...any)
}

// Measure connects the clients, rolls the workload over, and writes the plot
// into a directory.
func Measure(ctx context.Context, image, dir string, say func(string, ...any)) (figures []perf.Figure, err error) {
	env, err := framework.Connect()
	if err != nil {
		return nil, err
	}
	n, err := onpods.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, n.Close(ctx)) }()
	b := bench{n, image, say}
	seen, err := b.run(ctx)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, Plot)
	page, err := seen.plot()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, page, 0o644)); err != nil {
		return nil, err
	}
	say("the rate over time is in %s", path)
	return seen.figures(), nil
}

// seen is what clients saw of a rolling update.
type seen struct {
	load.Results
	// began is when it was asked for, gone when the last old pod was gone, since
	// StartedAt.
	began, gone time.Duration
}

func (b *bench) run(ctx context.Context) (seen, error) {
	target, err := b.deploy(ctx)
	if err != nil {
		return seen{}, err
	}
	loader, err := loadpod.Start(ctx, b.Config, b.Name, "load", b.image)
	if err != nil {
		return seen{}, err
	}
	if err := loader.Begin(ctx, load.Config{Target: target, AwaitSeconds: 60, WebSockets: clients}); err != nil {
		return seen{}, err
	}
	if err := b.awaitOpen(ctx, loader); err != nil {
		return seen{}, err
	}
	began := time.Now()
	if err := b.roll(ctx); err != nil {
		return seen{}, err
	}
	gone := time.Now()
	b.say("rolled over in %.0f s", gone.Sub(began).Seconds())
	if err := errors.Join(b.awaitOpen(ctx, loader), pause(ctx, rest)); err != nil {
		return seen{}, err
	}
	results, err := loader.Finish(ctx)
	return seen{results, began.Sub(results.StartedAt), gone.Sub(results.StartedAt)}, err
}

// deploy makes policy, pods and Service, and returns the address of the work.
func (b *bench) deploy(ctx context.Context) (target string, err error) {
	policy := framework.Policy(app).HTTP(v1alpha1.DrainedWhenBody).Notify().Propagation(propagation, 30).
		LongLived(v1alpha1.LongLivedCloseAfter, noticeSeconds).Obj()
	pod := framework.Pod(app).Streams().With(func(p *corev1.Pod) { p.Spec.Containers[0].Image = b.image })
	if err := b.Apply(ctx, policy, pod.Obj()); err != nil {
		return "", err
	}
	deployment, service := pod.Deployment(pods), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: app, Namespace: b.Name},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": app},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(framework.WorkPort)}},
		},
	}
	deployment.Namespace = b.Name
	if err := errors.Join(b.Client.Create(ctx, deployment), b.Client.Create(ctx, service)); err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s:80/work", service.Spec.ClusterIP), b.awaitRollout(ctx)
}

// roll replaces every pod and waits until the last old one is gone.
func (b *bench) roll(ctx context.Context) error {
	var old corev1.PodList
	if err := b.Client.List(ctx, &old, client.InNamespace(b.Name), client.MatchingLabels{"app": app}); err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"restartedAt":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: b.Name, Name: app}}
	if err := b.Client.Patch(ctx, deployment, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	if err := b.awaitRollout(ctx); err != nil {
		return err
	}
	for _, pod := range old.Items {
		if _, err := b.AwaitGone(ctx, pod.Name); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) awaitRollout(ctx context.Context) error {
	err := wait.PollUntilContextTimeout(ctx, glance, patient, true, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		if err := b.Client.Get(ctx, client.ObjectKey{Namespace: b.Name, Name: app}, &d); err != nil {
			return false, err
		}
		s := d.Status
		return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == pods && s.ReadyReplicas == pods && s.Replicas == pods, nil
	})
	if err != nil {
		return fmt.Errorf("the pods are not ready: %w", err)
	}
	return nil
}

// awaitOpen waits until all clients are connected.
func (b *bench) awaitOpen(ctx context.Context, loader *loadpod.Pod) error {
	var live load.Live
	err := wait.PollUntilContextTimeout(ctx, glance, patient, true, func(ctx context.Context) (bool, error) {
		var err error
		live, err = loader.Live(ctx)
		return live.Open == clients, err
	})
	if err != nil {
		return fmt.Errorf("%d of %d clients are connected, %+v: %w", live.Open, clients, live, err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
