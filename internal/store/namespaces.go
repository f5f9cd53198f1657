package store

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch

// FollowNamespaces makes a cache hold the namespaces, for NamespaceTerminating.
// It must be called before the cache starts: an admission request does not
// wait for a first list.
func FollowNamespaces(ctx context.Context, namespaces cache.Cache) error {
	if _, err := namespaces.GetInformer(ctx, &corev1.Namespace{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching namespaces: %w", err)
	}
	return nil
}

// NamespaceTerminating reports whether a namespace is being deleted. One that
// is not known is not.
func (s *Store) NamespaceTerminating(ctx context.Context, name string) (bool, error) {
	namespace := &corev1.Namespace{}
	err := s.cache.Get(ctx, types.NamespacedName{Name: name}, namespace)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return namespace.DeletionTimestamp != nil || namespace.Status.Phase == corev1.NamespaceTerminating, nil
}

// TrimNamespace keeps of a namespace whether it is being deleted.
func TrimNamespace(obj any) (any, error) {
	namespace, ok := obj.(*corev1.Namespace)
	if !ok {
		return Trim(obj)
	}
	trimmed := &corev1.Namespace{TypeMeta: namespace.TypeMeta}
	trimmed.Name, trimmed.UID, trimmed.ResourceVersion = namespace.Name, namespace.UID, namespace.ResourceVersion
	trimmed.DeletionTimestamp = namespace.DeletionTimestamp
	trimmed.Status.Phase = namespace.Status.Phase
	return trimmed, nil
}
