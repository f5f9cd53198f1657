package gate

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/write"
)

// Wishes writes down, after the answer, that a pod's end was asked for. It
// never blocks and may drop one: whoever asked asks again, or finds the pod
// as it was.
type Wishes interface {
	Record(ctx context.Context, pod *corev1.Pod, condition corev1.PodCondition)
}

// RecordResult is what became of a wish.
type RecordResult string

const (
	// RecordWritten to the pod's condition, or the pod was gone by then.
	RecordWritten RecordResult = "Written"
	// RecordFailed: the API server did not take it, however often it was tried.
	RecordFailed RecordResult = "Failed"
	// RecordDropped: too many were waiting.
	RecordDropped RecordResult = "Dropped"
)

// RecordResults are all of them.
var RecordResults = []RecordResult{RecordWritten, RecordFailed, RecordDropped}

const (
	// maxWaiting bounds the wishes that are not written yet, some 8 MiB.
	maxWaiting = 4096
	// writers at once.
	writers = 8
	// maxTries of one wish; the first pauses between them double, from firstPause.
	maxTries   = 5
	firstPause = 50 * time.Millisecond
	maxPause   = time.Second
	// writeTimeout of one try.
	writeTimeout = 5 * time.Second
)

// Recorder writes wishes to pods, on every replica: those of one pod one after
// the other, what came meanwhile as one.
type Recorder struct {
	pods    write.Pods
	results func(RecordResult)
	queue   workqueue.TypedRateLimitingInterface[types.UID]
	running sync.WaitGroup

	mu      sync.Mutex
	waiting map[types.UID]wish
}

// NewRecorder returns a Recorder that tells what became of each wish. It writes
// from Start on, until Close.
func NewRecorder(pods write.Pods, results func(RecordResult)) *Recorder {
	return &Recorder{
		pods:    pods,
		results: results,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](firstPause, maxPause)),
		waiting: map[types.UID]wish{},
	}
}

// NeedLeaderElection is false: every replica answers.
func (r *Recorder) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable. What it starts goes on when the context
// ends: webhooks answer for some time after that. Close ends it.
func (r *Recorder) Start(ctx context.Context) error {
	writing := context.WithoutCancel(ctx)
	for range writers {
		r.running.Go(func() {
			for r.writeNext(writing) {
			}
		})
	}
	<-ctx.Done()
	return nil
}

// Close writes what is waiting, as long as the context lasts, and ends.
func (r *Recorder) Close(ctx context.Context) {
	r.queue.ShutDown()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.running.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	// Those that were to be tried again later.
	for _, w := range r.takeAll() {
		if r.write(ctx, w) != nil {
			r.results(RecordFailed)
		}
	}
}

// Record implements Wishes.
func (r *Recorder) Record(ctx context.Context, pod *corev1.Pod, condition corev1.PodCondition) {
	if !r.keep(pod.UID, wish{named(pod), condition}) {
		logf.FromContext(ctx).Info("too many wishes are waiting, one is dropped", "namespace", pod.Namespace, "pod", pod.Name)
		r.results(RecordDropped)
		return
	}
	r.queue.Add(pod.UID)
}

// named is what is needed of a pod to write to it: the whole of thousands
// would take some memory.
func named(pod *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Status:     corev1.PodStatus{Conditions: pod.Status.Conditions},
	}
}

// keep a wish until it is written; false when there are too many.
func (r *Recorder) keep(uid types.UID, w wish) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, waits := r.waiting[uid]; waits {
		w.condition = joined(before.condition, w.condition)
	} else if len(r.waiting) >= maxWaiting {
		return false
	}
	r.waiting[uid] = w
	return true
}

// keepOld puts back what could not be written, before what came meanwhile.
func (r *Recorder) keepOld(uid types.UID, old wish) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since, waits := r.waiting[uid]; waits {
		old.condition = joined(old.condition, since.condition)
	}
	r.waiting[uid] = old
}

func (r *Recorder) take(uid types.UID) (wish, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, waits := r.waiting[uid]
	delete(r.waiting, uid)
	return w, waits
}

func (r *Recorder) takeAll() map[types.UID]wish {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.waiting
	r.waiting = map[types.UID]wish{}
	return all
}

// joined is the one wish that two of a pod make, of which none was written yet:
// it is as old as the older, and an eviction does not take a deletion back.
func joined(older, newer corev1.PodCondition) corev1.PodCondition {
	if older.Reason == string(drain.Delete) && newer.Reason == string(drain.Evict) {
		older.LastProbeTime = newer.LastProbeTime
		return older
	}
	newer.LastTransitionTime = older.LastTransitionTime
	return newer
}

// writeNext writes one wish, when there is one; false at the end.
func (r *Recorder) writeNext(ctx context.Context) bool {
	uid, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(uid)
	w, waits := r.take(uid)
	if !waits {
		return true
	}
	err := r.write(ctx, w)
	switch {
	case err == nil:
		r.queue.Forget(uid)
	case r.queue.NumRequeues(uid) < maxTries-1:
		r.keepOld(uid, w)
		r.queue.AddRateLimited(uid)
	default:
		r.queue.Forget(uid)
		logf.FromContext(ctx).Error(err, "a wish is lost", "namespace", w.pod.Namespace, "pod", w.pod.Name)
		r.results(RecordFailed)
	}
	return true
}

// write tries once.
func (r *Recorder) write(ctx context.Context, w wish) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := r.pods.SetConditions(ctx, w.pod, []corev1.PodCondition{w.condition})
	if err == nil {
		r.results(RecordWritten)
	}
	return err
}
