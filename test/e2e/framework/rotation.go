package framework

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Rotation watches who is in rotation, from one moment on.
type Rotation struct {
	mu    sync.Mutex
	ready map[types.UID]int
	least int
	at    time.Time
}

// Least that there ever were, and when.
func (r *Rotation) Least() (ready int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.least, r.at
}

func (r *Rotation) see(uid types.UID, ready int, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready[uid] = ready
	if all := r.now(); all < r.least {
		r.least, r.at = all, now
	}
}

func (r *Rotation) now() (all int) {
	for _, n := range r.ready {
		all += n
	}
	return all
}

// WatchEndpoints begins to watch the ready endpoints of a Service, once there
// are n of them.
func (n *Namespace) WatchEndpoints(ctx context.Context, service string, want int) *Rotation {
	GinkgoHelper()
	slices := n.Kube.DiscoveryV1().EndpointSlices(n.Name)
	selector := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}
	r := &Rotation{}
	var from string
	Eventually(func(g Gomega) {
		list, err := slices.List(ctx, selector)
		g.Expect(err).NotTo(HaveOccurred())
		r.ready, from = map[types.UID]int{}, list.ResourceVersion
		for i := range list.Items {
			r.ready[list.Items[i].UID] = readyEndpoints(&list.Items[i])
		}
		g.Expect(r.now()).To(Equal(want))
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
	r.least = want
	follow(ctx, from, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.LabelSelector = selector.LabelSelector
		return slices.Watch(ctx, o)
	}, func(e watch.Event) {
		if slice, ok := e.Object.(*discoveryv1.EndpointSlice); ok {
			ready := readyEndpoints(slice)
			if e.Type == watch.Deleted {
				ready = 0
			}
			r.see(slice.UID, ready, time.Now())
		}
	})
	return r
}

func readyEndpoints(slice *discoveryv1.EndpointSlice) (n int) {
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready == nil || *e.Conditions.Ready {
			n++
		}
	}
	return n
}

// follow calls see with everything that a watch tells, until the spec ends.
func follow(ctx context.Context, from string, begin cache.WatchFuncWithContext, see func(watch.Event)) {
	GinkgoHelper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	DeferCleanup(cancel)
	w, err := watchtools.NewRetryWatcherWithContext(ctx, from, &cache.ListWatch{WatchFuncWithContext: begin})
	Expect(err).NotTo(HaveOccurred())
	go func() {
		for e := range w.ResultChan() {
			see(e)
		}
	}()
}

// Holds watches what becomes of pods that are asked to end.
type Holds struct {
	Rotation
	seen map[types.UID]*Held
}

// Held is what one pod went through; times are zero where it did not.
type Held struct {
	Name string
	// Refused is when its wish was recorded first, Left when it was seen not
	// Ready with one, Released when its deletion was accepted, Gone when the
	// object was.
	Refused, Left, Released, Gone time.Time
	// Reasons that it was waited for, each once, in their order.
	Reasons []string
}

// WatchHolds begins to watch the pods labelled app: name. They are as many as
// are Ready now.
func (n *Namespace) WatchHolds(ctx context.Context, name string) *Holds {
	GinkgoHelper()
	pods := n.Kube.CoreV1().Pods(n.Name)
	selector := "app=" + name
	list, err := pods.List(ctx, metav1.ListOptions{LabelSelector: selector})
	Expect(err).NotTo(HaveOccurred())
	h := &Holds{Rotation: Rotation{ready: map[types.UID]int{}}, seen: map[types.UID]*Held{}}
	for i := range list.Items {
		h.note(watch.Modified, &list.Items[i], time.Now())
	}
	h.least = h.now()
	follow(ctx, list.ResourceVersion, func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		o.LabelSelector = selector
		return pods.Watch(ctx, o)
	}, func(e watch.Event) {
		if pod, ok := e.Object.(*corev1.Pod); ok {
			h.note(e.Type, pod, time.Now())
		}
	})
	return h
}

func (h *Holds) note(event watch.EventType, pod *corev1.Pod, now time.Time) {
	ready := 0
	if Ready(pod) && pod.DeletionTimestamp == nil && event != watch.Deleted {
		ready = 1
	}
	h.see(pod.UID, ready, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.seen[pod.UID]
	if p == nil {
		p = &Held{Name: pod.Name}
		h.seen[pod.UID] = p
	}
	first := func(at *time.Time, is bool) {
		if is && at.IsZero() {
			*at = now
		}
	}
	asked := ConditionOf(pod, v1alpha1.PodDeletionRequested).Status == corev1.ConditionTrue
	first(&p.Refused, asked)
	first(&p.Left, asked && !Ready(pod))
	first(&p.Released, pod.DeletionTimestamp != nil)
	first(&p.Gone, event == watch.Deleted)
	reason := ConditionOf(pod, v1alpha1.PodDrained).Reason
	if asked && reason != "" && (len(p.Reasons) == 0 || p.Reasons[len(p.Reasons)-1] != reason) {
		p.Reasons = append(p.Reasons, reason)
	}
}

// All is what became so far of the pods whose end was refused.
func (h *Holds) All() (all []Held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.seen {
		if !p.Refused.IsZero() {
			all = append(all, *p)
		}
	}
	return all
}
