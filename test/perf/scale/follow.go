package scale

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

const (
	glance  = 20 * time.Millisecond
	timeout = 5 * time.Minute
)

// followed are the objects of a kind, as far as a watch has told what is asked
// of them.
type followed[T any] struct {
	stop func()

	mu    sync.Mutex
	known map[types.UID]T
	err   error
}

// follow watches objects. To list them again and again would cost the API
// server more than the operator does.
func follow[T any](ctx context.Context, c client.WithWatch, list client.ObjectList, of func(client.Object) T) (*followed[T], error) {
	watching, err := c.Watch(ctx, list)
	if err != nil {
		return nil, fmt.Errorf("watching: %w", err)
	}
	f := &followed[T]{stop: watching.Stop, known: map[types.UID]T{}}
	go func() {
		for event := range watching.ResultChan() {
			f.saw(event, of)
		}
	}()
	return f, nil
}

func (f *followed[T]) saw(event watch.Event, of func(client.Object) T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	object, ok := event.Object.(client.Object)
	switch {
	case event.Type == watch.Deleted && ok:
		delete(f.known, object.GetUID())
	case ok:
		f.known[object.GetUID()] = of(object)
	default:
		f.err = fmt.Errorf("watching: %v", event.Object)
	}
}

// count is how many of them have it.
func (f *followed[T]) count(has func(T) bool) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := 0
	for _, one := range f.known {
		if has(one) {
			count++
		}
	}
	return count, f.err
}

// await waits until so many of them have it, and says when that was.
func (f *followed[T]) await(ctx context.Context, alive func() error, want int, what string, has func(T) bool) (time.Time, error) {
	have := 0
	err := wait.PollUntilContextTimeout(ctx, glance, timeout, true, func(context.Context) (bool, error) {
		var err error
		if have, err = f.count(has); err != nil {
			return false, err
		}
		return have == want, alive()
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%d of %d are %s: %w", have, want, what, err)
	}
	return time.Now(), nil
}

// judgement is what the status of a policy says.
type judgement struct {
	judged, ready           bool
	pods, injected, current int
}

func (b *bench) followPolicies(ctx context.Context) (*followed[judgement], error) {
	return follow(ctx, b.client, &v1alpha1.DrainPolicyList{}, func(object client.Object) judgement {
		p, ok := object.(*v1alpha1.DrainPolicy)
		if !ok {
			return judgement{}
		}
		return judgement{
			judged: p.Status.ObservedGeneration == p.Generation,
			ready:  apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady),
			pods:   int(p.Status.Pods), injected: int(p.Status.Injected), current: int(p.Status.Injected - p.Status.Outdated),
		}
	})
}

func judged(j judgement) bool    { return j.judged }
func notJudged(j judgement) bool { return !j.judged }

// works says that the policy's canary was injected, and that it covers so many
// pods, with its present settings.
func works(pods int) func(judgement) bool {
	return func(j judgement) bool {
		return j.judged && j.ready && j.pods == pods && j.injected == pods && j.current == pods
	}
}

// followRunning tells of pods whether they run and are ready.
func (b *bench) followRunning(ctx context.Context) (*followed[bool], error) {
	return follow(ctx, b.client, &corev1.PodList{}, func(object client.Object) bool {
		pod, ok := object.(*corev1.Pod)
		if !ok || pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP == "" {
			return false
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady {
				return condition.Status == corev1.ConditionTrue
			}
		}
		return false
	})
}
