// Package store answers questions from the manager's cache. It never calls the
// API server, so that an admission request is answered from memory.
package store

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/registration"
)

// Store reads from the cache.
type Store struct {
	cache    client.Reader
	excluded func(namespace string) bool
}

// New returns a store over a cache. excluded says which namespaces are left
// alone whatever policies they hold.
func New(cache client.Reader, excluded func(namespace string) bool) *Store {
	return &Store{cache: cache, excluded: excluded}
}

// Namespaces returns the names of the namespaces that have a policy and are
// not excluded, sorted.
func (s *Store) Namespaces(ctx context.Context) ([]string, error) {
	return s.namespaces(ctx, func(*v1alpha1.DrainPolicy) bool { return true })
}

// EvictionNamespaces returns those of Namespaces in which a policy wants to be
// asked about evictions, sorted.
func (s *Store) EvictionNamespaces(ctx context.Context) ([]string, error) {
	return s.namespaces(ctx, registration.WantsEvictions)
}

// GateNamespaces returns those of Namespaces in which a policy holds deletions,
// sorted.
func (s *Store) GateNamespaces(ctx context.Context) ([]string, error) {
	return s.namespaces(ctx, drain.Holds)
}

func (s *Store) namespaces(ctx context.Context, counts func(*v1alpha1.DrainPolicy) bool) ([]string, error) {
	list := &v1alpha1.DrainPolicyList{}
	if err := s.cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	var namespaces []string
	for i := range list.Items {
		if p := &list.Items[i]; counts(p) && !s.excluded(p.Namespace) {
			namespaces = append(namespaces, p.Namespace)
		}
	}
	slices.Sort(namespaces)
	return slices.Compact(namespaces), nil
}

// Pod returns a pod as far as the cache keeps it, nil when there is none.
func (s *Store) Pod(ctx context.Context, namespace, name string) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	err := s.cache.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, pod)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading pod %s/%s: %w", namespace, name, err)
	}
	return pod, nil
}

// Nodes returns the nodes, as far as the cache keeps them, in no order. They
// are the cache's own: not to be changed.
func (s *Store) Nodes(ctx context.Context) ([]corev1.Node, error) {
	list := &corev1.NodeList{}
	if err := s.cache.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	return list.Items, nil
}
