package store

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/internal/plan"
)

// Delivery says how the agent gets into pods, from what the nodes say of
// themselves. It is worked out again after a node came, went or changed its
// software, when it is next asked for.
type Delivery struct {
	store *Store

	mu      sync.Mutex
	stale   bool
	current plan.Delivery
}

// FollowNodes returns a Delivery that follows the nodes in the cache.
func FollowNodes(ctx context.Context, nodes cache.Cache, store *Store) (*Delivery, error) {
	d := &Delivery{store: store, stale: true, current: plan.InitContainer}
	informer, err := nodes.GetInformer(ctx, &corev1.Node{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { d.markStale() },
		DeleteFunc: func(any) { d.markStale() },
		UpdateFunc: func(before, after any) {
			if softwareChanged(before, after) {
				d.markStale()
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	return d, nil
}

// Current is how the agent gets into pods now. While nodes cannot be read it
// stays as it was.
func (d *Delivery) Current(ctx context.Context) plan.Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stale {
		return d.current
	}
	nodes, err := d.store.Nodes(ctx)
	if err != nil {
		logf.FromContext(ctx).Error(err, "the agent's delivery stays as it is", "delivery", d.current)
		return d.current
	}
	decided, reason := plan.DecideDelivery(nodes)
	if decided != d.current {
		logf.FromContext(ctx).Info("the agent's delivery changes", "delivery", decided, "reason", reason)
	}
	d.current, d.stale = decided, false
	return decided
}

func (d *Delivery) markStale() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stale = true
}

func softwareChanged(before, after any) bool {
	old, okOld := before.(*corev1.Node)
	current, okCurrent := after.(*corev1.Node)
	return !okOld || !okCurrent || old.Status.NodeInfo != current.Status.NodeInfo
}
