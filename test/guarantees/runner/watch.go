package runner

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/drain-operator/drain-operator/test/demo"
)

// watcher records what becomes of a workload's pods. Times are those of the
// arrival of watch events: the API's own have whole seconds only.
type watcher struct {
	namespace string

	mu   sync.Mutex
	seen []demo.Observation
	pods map[types.UID]*corev1.Pod
	// changed is closed and replaced with every observation.
	changed chan struct{}
}

// watchPods watches the pods labelled app: name until ctx ends.
func watchPods(ctx context.Context, kube kubernetes.Interface, namespace, name string) (*watcher, error) {
	w := &watcher{namespace: namespace, pods: map[types.UID]*corev1.Pod{}, changed: make(chan struct{})}
	factory := informers.NewSharedInformerFactoryWithOptions(kube, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = "app=" + name }))
	handlers, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.observe(o, false) },
		UpdateFunc: func(_, o any) { w.observe(o, false) },
		DeleteFunc: func(o any) { w.observe(o, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching pods of %s: %w", namespace, err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handlers.HasSynced) {
		return nil, fmt.Errorf("watching pods of %s: %w", namespace, context.Cause(ctx))
	}
	return w, nil
}

func (w *watcher) observe(object any, gone bool) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, demo.Observation{At: time.Now(), Pod: pod, Gone: gone})
	w.pods[pod.UID] = pod
	if gone {
		delete(w.pods, pod.UID)
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// lives are the pods as seen so far, those that are gone among them.
func (w *watcher) lives() []demo.Life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return demo.Lives(w.seen, nil)
}

// last are the pods that there are, as last seen.
func (w *watcher) last() []*corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pods []*corev1.Pod
	for _, p := range w.pods {
		pods = append(pods, p)
	}
	return pods
}

// wait waits until the pods are as asked for.
func (w *watcher) wait(ctx context.Context, what string, is func([]demo.Life) bool) error {
	for {
		w.mu.Lock()
		changed, lives := w.changed, demo.Lives(w.seen, nil)
		w.mu.Unlock()
		if is(lives) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s in %s: %w", what, w.namespace, context.Cause(ctx))
		}
	}
}
