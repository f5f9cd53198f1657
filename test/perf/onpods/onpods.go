// Package onpods runs pods on the cluster that KUBECONFIG names and watches
// what becomes of them, for the benchmarks that need a kubelet.
package onpods

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
)

const (
	timeout = 2 * time.Minute
	glance  = 100 * time.Millisecond
)

// Namespace is where a benchmark's pods live.
type Namespace struct {
	*framework.Env
	Name string

	stop context.CancelFunc

	mu      sync.Mutex
	seen    map[string]Life
	changed chan struct{} // closed and replaced with every event
}

// Life is what was seen of a pod.
type Life struct {
	// Pod as last seen.
	Pod *corev1.Pod
	// Started is when its containers were first seen ready, Gated when its
	// readiness gate was first seen set, Ready when it was first seen ready,
	// Gone when its object was; zero before.
	Started, Gated, Ready, Gone time.Time
}

// Open makes a namespace and watches its pods.
func Open(ctx context.Context, env *framework.Env) (*Namespace, error) {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := env.Client.Create(ctx, object); err != nil {
		return nil, err
	}
	n := &Namespace{Env: env, Name: object.Name, seen: map[string]Life{}, changed: make(chan struct{})}
	pods := env.Kube.CoreV1().Pods(n.Name)
	list, err := pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, errors.Join(err, n.Close(ctx))
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	n.stop = stop
	w, err := watchtools.NewRetryWatcherWithContext(watching, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return pods.Watch(ctx, o) },
	})
	if err != nil {
		return nil, errors.Join(err, n.Close(ctx))
	}
	go func() {
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				n.see(e.Type, pod, time.Now())
			}
		}
	}()
	return n, nil
}

// Close removes the namespace and what is in it, and does not wait for it.
func (n *Namespace) Close(ctx context.Context) error {
	if n.stop != nil {
		n.stop()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	in := client.InNamespace(n.Name)
	return errors.Join(
		n.Client.DeleteAllOf(ctx, &v1alpha1.DrainPolicy{}, in),
		n.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}),
		n.Client.DeleteAllOf(ctx, &corev1.Pod{}, in, client.GracePeriodSeconds(0)))
}

func (n *Namespace) see(event watch.EventType, pod *corev1.Pod, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	life := n.seen[pod.Name]
	life.Pod = pod
	if life.Ready.IsZero() && framework.Ready(pod) {
		life.Ready = now
	}
	if life.Started.IsZero() && isTrue(pod, corev1.ContainersReady) {
		life.Started = now
	}
	if life.Gated.IsZero() && isTrue(pod, v1alpha1.PodInRotation) {
		life.Gated = now
	}
	if event == watch.Deleted {
		life.Gone = now
	}
	n.seen[pod.Name] = life
	close(n.changed)
	n.changed = make(chan struct{})
}

// Await waits until a pod is as wanted, and returns what was seen of it.
func (n *Namespace) Await(ctx context.Context, name, wanted string, is func(Life) bool) (Life, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		n.mu.Lock()
		life, changed := n.seen[name], n.changed
		n.mu.Unlock()
		if life.Pod != nil && is(life) {
			return life, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return life, fmt.Errorf("pod %s/%s is not %s: %w: %s", n.Name, name, wanted, ctx.Err(), state(life.Pod))
		}
	}
}

// AwaitReady waits until a pod is ready.
func (n *Namespace) AwaitReady(ctx context.Context, name string) (Life, error) {
	return n.Await(ctx, name, "ready", func(l Life) bool { return !l.Ready.IsZero() })
}

// AwaitGone waits until a pod's object is gone.
func (n *Namespace) AwaitGone(ctx context.Context, name string) (Life, error) {
	return n.Await(ctx, name, "gone", func(l Life) bool { return !l.Gone.IsZero() })
}

func isTrue(pod *corev1.Pod, condition corev1.PodConditionType) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}

func state(pod *corev1.Pod) string {
	if pod == nil {
		return "never seen"
	}
	return fmt.Sprintf("%s %+v %+v", pod.Status.Phase, pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses)
}

// Apply creates a policy and waits until pods like this one are injected by it.
func (n *Namespace) Apply(ctx context.Context, policy *v1alpha1.DrainPolicy, like *corev1.Pod) error {
	policy.Namespace = n.Name
	if err := n.Client.Create(ctx, policy); err != nil {
		return err
	}
	return n.AwaitInjection(ctx, like, func(*corev1.Pod) bool { return true })
}

// AwaitInjection waits until pods like this one come back injected, and as wanted.
func (n *Namespace) AwaitInjection(ctx context.Context, like *corev1.Pod, is func(*corev1.Pod) bool) error {
	err := wait.PollUntilContextTimeout(ctx, glance, timeout, true, func(ctx context.Context) (bool, error) {
		trial := like.DeepCopy()
		trial.Namespace, trial.Name = n.Name, like.Name+"-trial"
		err := n.Client.Create(ctx, trial, client.DryRunAll)
		return err == nil && Injected(trial) && is(trial), err
	})
	if err != nil {
		return fmt.Errorf("pods are not injected as wanted: %w", err)
	}
	return nil
}

// Injected says whether the operator injected a pod.
func Injected(pod *corev1.Pod) bool { return pod.Labels[v1alpha1.LabelInjected] == "true" }
