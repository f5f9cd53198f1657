package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// Indexes of the policies in the cache. The cache keeps them in step with what
// it holds.
const (
	// byKey files each policy by namespace and policy.Key.
	byKey = "policy-key"
	// byBreaker files those whose agent cannot be installed by namespace.
	byBreaker = "policy-breaker"
)

var errNotRead = errors.New("the policies are not read yet")

var indexers = toolscache.Indexers{byKey: keyOf, byBreaker: breakerOf}

// Policies finds the policies that matter to a pod, of a namespace that may
// have a thousand. It asks the cache's index itself: the cache's reader copies
// what it finds into lists, which takes longer than the search.
type Policies struct {
	index  toolscache.Indexer
	synced func() bool
}

// FilePolicies makes a cache file its policies. It must be called before the
// cache starts.
func FilePolicies(ctx context.Context, policies cache.Cache) (*Policies, error) {
	informer, err := policies.GetInformer(ctx, &v1alpha1.DrainPolicy{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching policies: %w", err)
	}
	shared, ok := informer.(toolscache.SharedIndexInformer)
	if !ok {
		return nil, fmt.Errorf("watching policies: %T has no index", informer)
	}
	if err := shared.AddIndexers(indexers); err != nil {
		return nil, fmt.Errorf("indexing policies: %w", err)
	}
	return &Policies{index: shared.GetIndexer(), synced: shared.HasSynced}, nil
}

func keyOf(obj any) ([]string, error) {
	if p, ok := obj.(*v1alpha1.DrainPolicy); ok {
		return []string{inNamespace(p.Namespace, policy.Key(p))}, nil
	}
	return nil, nil
}

func breakerOf(obj any) ([]string, error) {
	p, ok := obj.(*v1alpha1.DrainPolicy)
	if ok && apimeta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionAgentInstallable) {
		return []string{p.Namespace}, nil
	}
	return nil, nil
}

// inNamespace is unambiguous: names of namespaces have no slash.
func inNamespace(namespace, key string) string { return namespace + "/" + key }

// For returns the policies of a namespace that matter to a pod with these
// labels, in no order: all that may select it, and, if there is one whose agent
// cannot be installed, such a one. They are the cache's own: not to be changed.
// It waits until the cache is synced.
func (s *Policies) For(ctx context.Context, namespace string, podLabels map[string]string) ([]*v1alpha1.DrainPolicy, error) {
	if !s.synced() && !toolscache.WaitForCacheSync(ctx.Done(), s.synced) {
		return nil, errNotRead
	}
	var found []*v1alpha1.DrainPolicy
	for _, key := range policy.Keys(podLabels) {
		some, err := s.filed(byKey, inNamespace(namespace, key))
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	broken, err := s.filed(byBreaker, namespace)
	if err != nil {
		return nil, err
	}
	if len(broken) > 0 && !slices.Contains(found, broken[0]) {
		found = append(found, broken[0])
	}
	return found, nil
}

// Of returns all policies of a namespace, in no order. They are the cache's
// own: not to be changed. It waits until the cache is synced.
func (s *Policies) Of(ctx context.Context, namespace string) ([]*v1alpha1.DrainPolicy, error) {
	if !s.synced() && !toolscache.WaitForCacheSync(ctx.Done(), s.synced) {
		return nil, errNotRead
	}
	return s.filed(toolscache.NamespaceIndex, namespace)
}

// Policy returns a policy, nil when there is none of that name. It is the
// cache's own: not to be changed. It waits until the cache is synced.
func (s *Policies) Policy(ctx context.Context, namespace, name string) (*v1alpha1.DrainPolicy, error) {
	if !s.synced() && !toolscache.WaitForCacheSync(ctx.Done(), s.synced) {
		return nil, errNotRead
	}
	object, found, err := s.index.GetByKey(inNamespace(namespace, name))
	if err != nil {
		return nil, fmt.Errorf("looking for policy %s/%s: %w", namespace, name, err)
	}
	p, ok := object.(*v1alpha1.DrainPolicy)
	if !found || !ok {
		return nil, nil
	}
	return p, nil
}

func (s *Policies) filed(index, value string) ([]*v1alpha1.DrainPolicy, error) {
	objects, err := s.index.ByIndex(index, value)
	if err != nil {
		return nil, fmt.Errorf("looking for policies: %w", err)
	}
	policies := make([]*v1alpha1.DrainPolicy, 0, len(objects))
	for _, object := range objects {
		if p, ok := object.(*v1alpha1.DrainPolicy); ok {
			policies = append(policies, p)
		}
	}
	return policies, nil
}
