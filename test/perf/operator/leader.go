package operator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Holder of the lease, empty when there is none: a replica's process, which a
// container that was restarted is not any more.
func (o Operator) Holder(ctx context.Context) (string, error) {
	var l coordinationv1.Lease
	err := o.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: lease}, &l)
	return holder(&l), err
}

// Leader is the replica that leads.
func (o Operator) Leader(ctx context.Context) (corev1.Pod, error) {
	who, err := o.Holder(ctx)
	if err != nil {
		return corev1.Pod{}, err
	}
	pods, err := o.Pods(ctx)
	if err != nil {
		return corev1.Pod{}, err
	}
	for _, pod := range pods {
		if strings.HasPrefix(who, pod.Name+"_") {
			return pod, nil
		}
	}
	return corev1.Pod{}, fmt.Errorf("%q holds the lease and is no replica of the operator", who)
}

// AwaitLeader waits until somebody else than that holder leads.
func (o Operator) AwaitLeader(ctx context.Context, was string) error {
	return wait.PollUntilContextTimeout(ctx, glance, rolloutTimeout, true, func(ctx context.Context) (bool, error) {
		now, err := o.Holder(ctx)
		return now != "" && now != was, err
	})
}

// Leaders follows who leads.
type Leaders struct {
	stop context.CancelFunc

	mu      sync.Mutex
	changes int
	longest time.Duration
	led     string
	until   time.Time
}

// FollowLeaders begins to watch the lease.
func (o Operator) FollowLeaders(ctx context.Context) (*Leaders, error) {
	leases := o.Kube.CoordinationV1().Leases(Namespace)
	only := metav1.ListOptions{FieldSelector: "metadata.name=" + lease}
	list, err := leases.List(ctx, only)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	l := &Leaders{stop: stop}
	for i := range list.Items {
		l.see(&list.Items[i])
	}
	w, err := watchtools.NewRetryWatcherWithContext(ctx, list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only.FieldSelector
			return leases.Watch(ctx, o)
		},
	})
	if err != nil {
		stop()
		return nil, err
	}
	go func() {
		for e := range w.ResultChan() {
			if held, ok := e.Object.(*coordinationv1.Lease); ok {
				l.see(held)
			}
		}
	}()
	return l, nil
}

// see notes a state of the lease, by the replicas' own clocks, which are one.
func (l *Leaders) see(now *coordinationv1.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	who := holder(now)
	if who != "" && l.led != "" && who != l.led {
		l.changes++
		l.longest = max(l.longest, now.Spec.AcquireTime.Sub(l.until))
	}
	if who != "" {
		l.led = who
	}
	if now.Spec.RenewTime != nil {
		l.until = now.Spec.RenewTime.Time
	}
}

// Stop says how often another replica became the leader, and the longest time
// between the last sign of one leader and the first of the next.
func (l *Leaders) Stop() (changes int, longest time.Duration) {
	l.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changes, l.longest
}

func holder(l *coordinationv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}
