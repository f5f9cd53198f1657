package controllers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// surveys look at all pods of a namespace once for all its policies, and only
// again when something there has changed.
type surveys struct {
	cache   client.Reader
	options func() plan.Options

	mu   sync.Mutex
	made map[string]survey
}

// survey of one namespace.
type survey struct {
	coverage map[string]condition.Coverage
	agents   []condition.AgentPod
}

// outdate says that pods or policies of a namespace have changed.
func (s *surveys) outdate(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, namespace)
}

// of a namespace. What changes while it is made is in it or outdates it.
func (s *surveys) of(ctx context.Context, namespace string) (survey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if made, found := s.made[namespace]; found {
		return made, nil
	}
	made, err := s.look(ctx, namespace)
	if err != nil {
		return survey{}, err
	}
	s.made[namespace] = made
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
