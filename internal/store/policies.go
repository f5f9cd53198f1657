package store

import (
	"context"
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// Indexes of the policies in the cache, each by namespace. The cache keeps them
// in step with what it holds.
const (
	// byKey files each policy by policy.Key.
	byKey = "policy-key"
	// byBreaker files those whose agent cannot be installed, under tripped.
	byBreaker = "policy-breaker"
	tripped   = "tripped"
)

// Index makes a cache file the policies so that Policies can find them. It must
// be called before the cache is first asked.
func Index(ctx context.Context, cache client.FieldIndexer) error {
	for field, index := range map[string]client.IndexerFunc{byKey: keyOf, byBreaker: breakerOf} {
		if err := cache.IndexField(ctx, &v1alpha1.DrainPolicy{}, field, index); err != nil {
			return fmt.Errorf("indexing policies by %s: %w", field, err)
		}
	}
	return nil
}

func keyOf(obj client.Object) []string {
	if p, ok := obj.(*v1alpha1.DrainPolicy); ok {
		return []string{policy.Key(p)}
	}
	return nil
}

func breakerOf(obj client.Object) []string {
	p, ok := obj.(*v1alpha1.DrainPolicy)
	if ok && apimeta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionAgentInstallable) {
		return []string{tripped}
	}
	return nil
}

// Policies returns the policies of a namespace that matter to a pod with these
// labels, in no order: all that may select it, and, if there is one whose agent
// cannot be installed, such a one. To go through all of a namespace's thousand
// would take longer than all else that an admission request asks for. They are
// the cache's own: not to be changed.
func (s *Store) Policies(ctx context.Context, namespace string, podLabels map[string]string) ([]*v1alpha1.DrainPolicy, error) {
	var found []*v1alpha1.DrainPolicy
	for _, key := range policy.Keys(podLabels) {
		some, err := s.filed(ctx, namespace, client.MatchingFields{byKey: key})
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	broken, err := s.filed(ctx, namespace, client.MatchingFields{byBreaker: tripped}, client.Limit(1))
	if err != nil {
		return nil, err
	}
	for _, p := range broken {
		if !slices.ContainsFunc(found, func(f *v1alpha1.DrainPolicy) bool { return f.Name == p.Name }) {
			found = append(found, p)
		}
	}
	return found, nil
}

func (s *Store) filed(ctx context.Context, namespace string, where ...client.ListOption) ([]*v1alpha1.DrainPolicy, error) {
	list := &v1alpha1.DrainPolicyList{}
	options := append([]client.ListOption{client.InNamespace(namespace), client.UnsafeDisableDeepCopy}, where...)
	if err := s.cache.List(ctx, list, options...); err != nil {
		return nil, fmt.Errorf("listing the policies of namespace %s: %w", namespace, err)
	}
	policies := make([]*v1alpha1.DrainPolicy, len(list.Items))
	for i := range list.Items {
		policies[i] = &list.Items[i]
	}
	return policies, nil
}
