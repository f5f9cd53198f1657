package framework

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// Drains watches pods of a namespace end: their last status and the object's
// end are milliseconds apart, so that only a watch sees both.
type Drains struct {
	app string

	mu   sync.Mutex
	pods map[types.UID]*Drain
}

// Drain is the end of one pod, as the API server and the pod itself tell it.
type Drain struct {
	// Pod as last seen.
	Pod *corev1.Pod
	// Asked is when the deletion was accepted, zero before. Seen from the
	// test: a few milliseconds late.
	Asked time.Time
	// Grace is the one that the deletion was accepted with, in seconds.
	Grace int64
	// Gone is when the object was, zero before.
	Gone time.Time
}

// WatchDrains begins to watch the pods labelled app: name.
func (n *Namespace) WatchDrains(ctx context.Context, name string) *Drains {
	GinkgoHelper()
	pods := n.Kube.CoreV1().Pods(n.Name)
	selector := metav1.ListOptions{LabelSelector: "app=" + name}
	list, err := pods.List(ctx, selector)
	Expect(err).NotTo(HaveOccurred())
	d := &Drains{app: name, pods: map[types.UID]*Drain{}}
	for i := range list.Items {
		d.see(watch.Modified, &list.Items[i], time.Now())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	DeferCleanup(cancel)
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector.LabelSelector
			return pods.Watch(ctx, o)
		},
	})
	Expect(err).NotTo(HaveOccurred())
	go func() {
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok {
				d.see(e.Type, pod, time.Now())
			}
		}
	}()
	return d
}

func (d *Drains) see(event watch.EventType, pod *corev1.Pod, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen, known := d.pods[pod.UID]
	if !known {
		seen = &Drain{}
		d.pods[pod.UID] = seen
	}
	seen.Pod = pod
	if pod.DeletionTimestamp != nil && seen.Asked.IsZero() {
		seen.Asked, seen.Grace = now, *pod.DeletionGracePeriodSeconds
	}
	if event == watch.Deleted {
		seen.Gone = now
	}
}

// Ended are the pods that are gone, in the order of their ends.
func (d *Drains) Ended() []Drain { return d.which(func(x *Drain) bool { return !x.Gone.IsZero() }) }

// Draining are the pods that are terminating.
func (d *Drains) Draining() []Drain {
	return d.which(func(x *Drain) bool { return !x.Asked.IsZero() && x.Gone.IsZero() })
}

func (d *Drains) which(accept func(*Drain) bool) []Drain {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []Drain
	for _, x := range slices.Collect(maps.Values(d.pods)) {
		if accept(x) {
			found = append(found, *x)
		}
	}
	slices.SortFunc(found, func(a, b Drain) int { return a.Gone.Compare(b.Gone) })
	return found
}

// AwaitDraining waits until n pods are terminating, or have ended.
func (d *Drains) AwaitDraining(ctx context.Context, n int) {
	GinkgoHelper()
	Eventually(func() int { return len(d.Draining()) + len(d.Ended()) }).
		WithContext(ctx).WithTimeout(long).WithPolling(glance/5).Should(BeNumerically(">=", n), "pods of %s draining", d.app)
}

// AwaitEnds waits until n pods are gone and returns them.
func (d *Drains) AwaitEnds(ctx context.Context, n int) []Drain {
	GinkgoHelper()
	Eventually(func() int { return len(d.Ended()) }).
		WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(BeNumerically(">=", n), "pods of %s gone", d.app)
	return d.Ended()
}

// AwaitEnd waits until one pod is gone.
func (d *Drains) AwaitEnd(ctx context.Context) Drain {
	GinkgoHelper()
	ended := d.AwaitEnds(ctx, 1)
	Expect(ended).To(HaveLen(1))
	return ended[0]
}
