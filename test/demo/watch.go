package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// watcher records what becomes of the pods of a namespace. Times are those of
// the arrival of watch events: the API's own have whole seconds only.
type watcher struct {
	client    kubernetes.Interface
	namespace string

	mu         sync.Mutex
	seen       []Observation
	terminated map[string]time.Time
	following  map[string]bool
	// changed is closed and replaced with every observation.
	changed chan struct{}
	logs    sync.WaitGroup
}

// watchPods watches until ctx ends. It returns once the pods that exist are known.
func watchPods(ctx context.Context, client kubernetes.Interface, namespace string) (*watcher, error) {
	w := &watcher{
		client: client, namespace: namespace, terminated: map[string]time.Time{},
		following: map[string]bool{}, changed: make(chan struct{}),
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	handlers, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.observe(ctx, o, false) },
		UpdateFunc: func(_, o any) { w.observe(ctx, o, false) },
		DeleteFunc: func(o any) { w.observe(ctx, o, true) },
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

func (w *watcher) observe(ctx context.Context, object any, gone bool) {
	if unknown, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, Observation{At: time.Now(), Pod: pod, Gone: gone})
	close(w.changed)
	w.changed = make(chan struct{})
	if !gone && isReady(pod) && !w.following[pod.Name] {
		w.following[pod.Name] = true
		w.logs.Go(func() { w.followLog(ctx, pod) })
	}
}

// lives are the pods as seen so far.
func (w *watcher) lives() []Life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Lives(w.seen, w.terminated)
}

// wait waits until the pods are as asked for.
func (w *watcher) wait(ctx context.Context, what string, is func([]Life) bool) error {
	for {
		w.mu.Lock()
		changed, lives := w.changed, Lives(w.seen, w.terminated)
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

// followLog reads a pod's log to its end for the line that says that SIGTERM
// has come. The time is the one the container runtime gave the line.
func (w *watcher) followLog(ctx context.Context, pod *corev1.Pod) {
	stream, err := w.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: pod.Spec.Containers[0].Name, Follow: true, Timestamps: true, LimitBytes: ptr.To[int64](1 << 20),
	}).Stream(ctx)
	if err != nil {
		// Held then counts to the container's end.
		return
	}
	defer stream.Close()
	if at, ok := terminationIn(stream); ok {
		w.mu.Lock()
		w.terminated[pod.Name] = at
		w.mu.Unlock()
	}
}

// terminationIn finds the first line that names SIGTERM and returns its time.
func terminationIn(log io.Reader) (time.Time, bool) {
	for s := bufio.NewScanner(log); s.Scan(); {
		stamp, text, _ := strings.Cut(s.Text(), " ")
		if !strings.Contains(text, "SIGTERM") {
			continue
		}
		at, err := time.Parse(time.RFC3339Nano, stamp)
		return at, err == nil
	}
	return time.Time{}, false
}
