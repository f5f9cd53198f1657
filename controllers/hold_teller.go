package controllers

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// teller is a Teller: per pod, one word is on its way at a time, and when
// another one has come meanwhile, the last of them follows.
type teller struct {
	ctx  context.Context
	send func(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) error

	mu   sync.Mutex
	next map[types.UID]*word
}

type word struct {
	pod      *corev1.Pod
	policy   *v1alpha1.DrainPolicy
	draining bool
	// heard says that it was sent, or given up.
	heard bool
}

func newTeller(ctx context.Context, send func(context.Context, *corev1.Pod, *v1alpha1.DrainPolicy, bool) error) *teller {
	return &teller{ctx: ctx, send: send, next: map[types.UID]*word{}}
}

// Tell implements Teller.
func (t *teller) Tell(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) {
	if policy.Spec.PreStop.Notify == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, busy := t.next[pod.UID]
	t.next[pod.UID] = &word{pod: pod, policy: policy, draining: draining}
	if !busy {
		go t.run(pod.UID)
	}
}

// run sends what there is to say to one pod, until there is nothing more.
func (t *teller) run(pod types.UID) {
	for {
		t.mu.Lock()
		w := t.next[pod]
		if w.heard || t.ctx.Err() != nil {
			delete(t.next, pod)
			t.mu.Unlock()
			return
		}
		w.heard = true
		t.mu.Unlock()
		if err := t.send(t.ctx, w.pod, w.policy, w.draining); err != nil {
			logf.FromContext(t.ctx).Info("the workload was not told", "pod", client.ObjectKeyFromObject(w.pod), "draining", w.draining, "why", err.Error())
		}
	}
}
