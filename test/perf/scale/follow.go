package scale

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/integration/framework"
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
}

// follow watches objects: to list them again and again would cost the API
// server more than the operator does.
func follow[T any](ctx context.Context, config *rest.Config, of func(client.Object) (T, bool), kind client.Object) (*followed[T], error) {
	f := &followed[T]{known: map[types.UID]T{}}
	watching, err := cache.New(config, cache.Options{Scheme: framework.Scheme(), DefaultTransform: func(obj any) (any, error) {
		object, ok := obj.(client.Object)
		if !ok {
			return obj, nil
		}
		if now, whole := of(object); whole { // it may meet what it has made
			f.saw(object.GetUID(), now)
			return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
			}}, nil
		}
		return obj, nil
	}})
	if err != nil {
		return nil, err
	}
	ctx, f.stop = context.WithCancel(ctx)
	if _, err := watching.GetInformer(ctx, kind, cache.BlockUntilSynced(false)); err != nil {
		f.stop()
		return nil, fmt.Errorf("watching: %w", err)
	}
	go func() { _ = watching.Start(ctx) }() // until it is stopped
	if !watching.WaitForCacheSync(ctx) {
		f.stop()
		return nil, errors.New("watching: the cache does not fill")
	}
	return f, nil
}

func (f *followed[T]) saw(uid types.UID, now T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known[uid] = now
}

// count is how many of them have it.
func (f *followed[T]) count(has func(T) bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := 0
	for _, one := range f.known {
		if has(one) {
			count++
		}
	}
	return count
}

// await waits until so many of them have it, and says when that was.
func (f *followed[T]) await(ctx context.Context, alive func() error, want int, what string, has func(T) bool) (time.Time, error) {
	have := 0
	err := wait.PollUntilContextTimeout(ctx, glance, timeout, true, func(context.Context) (bool, error) {
		have = f.count(has)
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
	return follow(ctx, b.env.Config, func(object client.Object) (judgement, bool) {
		p, ok := object.(*v1alpha1.DrainPolicy)
		if !ok {
			return judgement{}, false
		}
		return judgement{
			judged: p.Status.ObservedGeneration == p.Generation,
			ready:  apimeta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady),
			pods:   int(p.Status.Pods), injected: int(p.Status.Injected), current: int(p.Status.Injected - p.Status.Outdated),
		}, true
	}, &v1alpha1.DrainPolicy{})
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
	return follow(ctx, b.env.Config, func(object client.Object) (runs, whole bool) {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return false, false
		}
		ready := false
		for _, condition := range pod.Status.Conditions {
			if condition.Type == corev1.PodReady {
				ready = condition.Status == corev1.ConditionTrue
			}
		}
		return ready && pod.Status.Phase == corev1.PodRunning && pod.Status.PodIP != "", true
	}, &corev1.Pod{})
}
