package controllers

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
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
	cache   client.Reader
	clock   clock.PassiveClock
	options func() plan.Options

	mu   sync.Mutex
	made map[string]*survey
}

// survey of one namespace.
type survey struct {
	coverage map[string]condition.Coverage
	agents   []condition.AgentPod
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
	list := &corev1.PodList{}
	if err := s.cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return survey{}, fmt.Errorf("listing pods: %w", err)
	}
	pods := make([]*corev1.Pod, len(list.Items))
	for i := range list.Items {
		pods[i] = &list.Items[i]
	}
	return survey{
		coverage: condition.Survey(policies, pods, namespace, s.options()),
		agents:   condition.AgentPods(pods),
	}, nil
}

// policiesIn returns the policies of a namespace. They are the cache's own and
// must not be changed.
func policiesIn(ctx context.Context, cache client.Reader, namespace string) ([]*v1alpha1.DrainPolicy, error) {
	list := &v1alpha1.DrainPolicyList{}
	if err := cache.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	policies := make([]*v1alpha1.DrainPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return policies, nil
}
