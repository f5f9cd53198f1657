package controllers

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// tellAgain is how long a word that was heard is not repeated. It is repeated
// at all because a process may have been started anew, and knows nothing.
const tellAgain = 30 * time.Second

// teller is a Teller: per pod, one word is on its way at a time, and when
// another one has come meanwhile, the last of them follows.
type teller struct {
	ctx   context.Context
	clock clock.PassiveClock
	send  func(ctx context.Context, pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) error

	mu    sync.Mutex
	next  map[types.UID]*word
	heard map[types.UID]hearing
}

// word is what a pod is to be told.
type word struct {
	pod      *corev1.Pod
	policy   *v1alpha1.DrainPolicy
	draining bool
	// sent says that it is on its way.
	sent bool
}

// hearing is what a pod was told last.
type hearing struct {
	draining bool
	at       time.Time
}

func newTeller(ctx context.Context, c clock.PassiveClock, send func(context.Context, *corev1.Pod, *v1alpha1.DrainPolicy, bool) error) *teller {
	return &teller{ctx: ctx, clock: c, send: send, next: map[types.UID]*word{}, heard: map[types.UID]hearing{}}
}

// Tell implements Teller.
func (t *teller) Tell(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, draining bool) {
	if policy.Spec.PreStop.Notify == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	last, busy := t.next[pod.UID]
	if busy && last.draining == draining || !busy && t.knows(pod.UID, draining) {
		return
	}
	t.next[pod.UID] = &word{pod: pod, policy: policy, draining: draining}
	if !busy {
		go t.run(pod.UID)
	}
}

// knows says that a pod was told the same a moment ago. What is old is forgotten.
func (t *teller) knows(pod types.UID, draining bool) bool {
	now := t.clock.Now()
	for uid, h := range t.heard {
		if now.Sub(h.at) >= tellAgain {
			delete(t.heard, uid)
		}
	}
	h, found := t.heard[pod]
	return found && h.draining == draining
}

// run sends what there is to say to one pod, until there is nothing more.
func (t *teller) run(pod types.UID) {
	for {
		w, more := t.take(pod)
		if !more {
			return
		}
		err := t.send(t.ctx, w.pod, w.policy, w.draining)
		t.said(pod, w.draining, err == nil)
		if err != nil {
			logf.FromContext(t.ctx).Info("the workload was not told", "pod", client.ObjectKeyFromObject(w.pod), "draining", w.draining, "why", err.Error())
		}
	}
}

func (t *teller) take(pod types.UID) (*word, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.next[pod]
	if w.sent || t.ctx.Err() != nil {
		delete(t.next, pod)
		return nil, false
	}
	w.sent = true
	return w, true
}

func (t *teller) said(pod types.UID, draining, heard bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.heard, pod)
	if heard {
		t.heard[pod] = hearing{draining: draining, at: t.clock.Now()}
	}
}
