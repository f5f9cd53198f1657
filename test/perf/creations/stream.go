// Package creations makes pods at a steady rate, whatever the answers take, and
// tells how long each took and whether it was injected.
package creations

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/perf/onpods"
)

const (
	// answerMax bounds one request: more than any webhook may take.
	answerMax = 45 * time.Second
	// lifetime of a pod that is stored, from when its creation was due, or else
	// until its creation was answered.
	lifetime = time.Second
)

// Plan of a stream.
type Plan struct {
	// Namespace to make pods in. They are labelled app: App.
	Namespace, App string
	// Rate is creations per second.
	Rate int
	// Stored: pods are stored, and deleted a second later. Else creations are
	// dry runs: the same admission, and nothing to write or to remove.
	Stored bool
}

// Stream is creations under way.
type Stream struct {
	plan Plan
	pods corev1client.PodInterface
	stop chan struct{}

	running sync.WaitGroup
	mu      sync.Mutex
	result  Result
}

// Start begins a stream. It ends with Stop, or with the context.
func Start(ctx context.Context, config *rest.Config, plan Plan) (*Stream, error) {
	kube, err := client(config)
	if err != nil {
		return nil, err
	}
	s := &Stream{plan: plan, pods: kube.CoreV1().Pods(plan.Namespace), stop: make(chan struct{})}
	s.running.Go(func() { s.pace(ctx) })
	return s, nil
}

// client is one without limits of its own, and in the format that costs an API
// server least.
func client(config *rest.Config) (kubernetes.Interface, error) {
	fast := rest.CopyConfig(config)
	fast.QPS = -1
	fast.ContentConfig = rest.ContentConfig{
		AcceptContentTypes: runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON, ContentType: runtime.ContentTypeProtobuf,
	}
	return kubernetes.NewForConfig(fast)
}

// Stop begins no more creations, waits for the answers under way and for the
// deletions, and returns all.
func (s *Stream) Stop() Result {
	close(s.stop)
	s.running.Wait()
	return s.result
}

// pace begins a creation whenever one is due, whatever became of those before.
func (s *Stream) pace(ctx context.Context) {
	began := time.Now()
	for i := 0; ; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(s.plan.Rate))
		select {
		case <-time.After(time.Until(due)):
		case <-s.stop:
			return
		case <-ctx.Done():
			return
		}
		s.running.Go(func() { s.one(ctx, i, due) })
	}
}

// one is the life of a pod.
func (s *Stream) one(ctx context.Context, number int, due time.Time) {
	name := fmt.Sprintf("%s-%d", s.plan.App, number)
	options := metav1.CreateOptions{}
	if !s.plan.Stored {
		options.DryRun = []string{metav1.DryRunAll}
	}
	created := Record{Due: due}
	pod := Pod(name, s.plan.App)
	created.time(ctx, func(ctx context.Context) error {
		answer, err := s.pods.Create(ctx, pod, options)
		created.Injected = err == nil && onpods.Injected(answer)
		return err
	})
	s.add(&s.result.Created, created)
	if !s.plan.Stored || created.Err != nil {
		return
	}
	deleted := Record{Due: due.Add(max(lifetime, created.Took)), Injected: created.Injected}
	time.Sleep(time.Until(deleted.Due))
	// What was stored goes, also when somebody has had enough.
	deleted.time(context.WithoutCancel(ctx), func(ctx context.Context) error {
		return s.pods.Delete(ctx, name, metav1.DeleteOptions{})
	})
	s.add(&s.result.Deleted, deleted)
}

func (s *Stream) add(to *Records, r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*to = append(*to, r)
}

// Pod is one that a policy for app would have the agent injected into. It is
// never scheduled: what is measured is the API server.
func Pod(name, app string) *corev1.Pod {
	return framework.Pod(name).Label("app", app).With(func(pod *corev1.Pod) {
		pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](30)
		pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "drain-operator.dev/bench"}}
	}).Obj()
}

// time asks, and notes what it took since the request was due: one that could
// not be sent in time counts with its wait.
func (r *Record) time(ctx context.Context, ask func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	r.Err = ask(ctx)
	r.Took = time.Since(r.Due)
}
