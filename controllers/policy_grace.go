package controllers

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/grace"
)

// histories keep what was recommended lately. A new leader begins without.
type histories struct {
	mu   sync.Mutex
	kept map[types.UID]grace.History
}

// recommend works out what the grace of a policy's pods should be now.
func (h *histories) recommend(p *v1alpha1.DrainPolicy, f grace.Facts) *v1alpha1.GraceStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	status, history := grace.Recommend(f, h.kept[p.UID])
	h.kept[p.UID] = history
	return &status
}

func (h *histories) forget(policy types.UID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.kept, policy)
}

// noticeOf is the shortest notice that the nodes of these pods get; nil where
// they get none.
func (r *PolicyReconciler) noticeOf(ctx context.Context, pods []*corev1.Pod) (*condition.Notice, error) {
	if len(r.ceilings.Notices) == 0 || len(pods) == 0 {
		return nil, nil
	}
	nodes := &corev1.NodeList{}
	if err := r.client.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing nodes: %w", err)
	}
	noticed := map[string]condition.Notice{}
	for i := range nodes.Items {
		if n, found := r.ceilings.Of(nodes.Items[i].Labels); found {
			noticed[nodes.Items[i].Name] = n
		}
	}
	return shortest(noticed, pods), nil
}

func shortest(noticed map[string]condition.Notice, pods []*corev1.Pod) *condition.Notice {
	var least *condition.Notice
	for _, pod := range pods {
		if n, found := noticed[pod.Spec.NodeName]; found && (least == nil || n.Seconds < least.Seconds) {
			least = &n
		}
	}
	return least
}
