package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// fresh is how old a survey may be although pods have changed since. It is
// less than coalesce: whoever is woken by a change sees a survey made after it.
const fresh = coalesce / 2

// surveys look at all pods of a namespace once for all its policies, and only
// again when something there has changed.
type surveys struct {
	cache client.Reader
	// pods of a namespace, which are not to be changed.
	pods    func(ctx context.Context, namespace string) ([]*corev1.Pod, error)
	clock   clock.PassiveClock
	options func() plan.Options

	mu   sync.Mutex
	made map[string]*survey
}

// survey of one namespace.
type survey struct {
	coverage map[string]condition.Coverage
	agents   []condition.AgentPod
	// wished are the pods that are held, by policy.
	wished   map[string][]*corev1.Pod
	at       time.Time
	outdated bool
}

// podsChanged outdates the survey of a namespace.
func (s *surveys) podsChanged(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, found := s.made[namespace]; found {
		made.outdated = true
	}
}

// policiesChanged drops it: an edit of a policy is looked at without delay.
func (s *surveys) policiesChanged(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, namespace)
}

// of a namespace. Whoever reports a change while it is made waits, and outdates it.
func (s *surveys) of(ctx context.Context, namespace string) (survey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	if made, found := s.made[namespace]; found && (!made.outdated || now.Sub(made.at) < fresh) {
		return *made, nil
	}
	made, err := s.look(ctx, namespace)
	if err != nil {
		return survey{}, err
	}
	made.at = now
	s.made[namespace] = &made
	return made, nil
}

// look reads pods and policies without copying them: they are not changed.
func (s *surveys) look(ctx context.Context, namespace string) (survey, error) {
	policies, err := policiesIn(ctx, s.cache, namespace)
	if err != nil {
		return survey{}, err
	}
	pods, err := s.pods(ctx, namespace)
	if err != nil {
		return survey{}, err
	}
	return survey{
		coverage: condition.Survey(policies, pods, namespace, s.options()),
		agents:   condition.AgentPods(pods),
		wished:   condition.Wished(pods),
	}, nil
}

// podsIn lists pods with a client.
func podsIn(c client.Reader) func(context.Context, string) ([]*corev1.Pod, error) {
	return func(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
		list := &corev1.PodList{}
		if err := c.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing pods: %w", err)
		}
		pods := make([]*corev1.Pod, len(list.Items))
		for i := range list.Items {
			pods[i] = &list.Items[i]
		}
		return pods, nil
	}
}

// cachedPods asks the cache's index itself: a survey keeps the pods that it
// covers, and a list of them would be ten thousand copies, of 1.3 KiB each
// without what they point to.
func cachedPods(ctx context.Context, pods cache.Cache) (func(context.Context, string) ([]*corev1.Pod, error), error) {
	informer, err := pods.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("watching pods: %T has no index", informer)
	}
	return func(_ context.Context, namespace string) ([]*corev1.Pod, error) {
		objects, err := shared.GetIndexer().ByIndex(toolscache.NamespaceIndex, namespace)
		if err != nil {
			return nil, fmt.Errorf("looking for pods: %w", err)
		}
		found := make([]*corev1.Pod, 0, len(objects))
		for _, object := range objects {
			if pod, ok := object.(*corev1.Pod); ok {
				found = append(found, pod)
			}
		}
		return found, nil
	}, nil
}

// policiesIn returns the policies of a namespace. They are the cache's own and
// must not be changed.
func policiesIn(ctx context.Context, c client.Reader, namespace string) ([]*v1alpha1.DrainPolicy, error) {
	list := &v1alpha1.DrainPolicyList{}
	if err := c.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	policies := make([]*v1alpha1.DrainPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return policies, nil
}
