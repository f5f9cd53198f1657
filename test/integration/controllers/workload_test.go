package controllers_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// newPolicy creates a policy that selects app=web.
func newPolicy(ctx context.Context, namespace string) *v1alpha1.DrainPolicy {
	GinkgoHelper()
	p := &v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
	}
	Expect(api.Create(ctx, p)).To(Succeed())
	return p
}

// injectedPod is one as injection leaves it, running on a node that there is not.
func injectedPod(ctx context.Context, namespace, name string) *corev1.Pod {
	GinkgoHelper()
	command, err := hold.Spec{Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained, BoundSeconds: 25}.Command()
	Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{"app": "web", v1alpha1.LabelInjected: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationInjectedBy: "web/1"},
		},
		Spec: corev1.PodSpec{
			NodeName:                      "node-1",
			TerminationGracePeriodSeconds: ptr.To(int64(30)),
			Containers: []corev1.Container{{
				Name: "app", Image: "example.com/app",
				Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: command}}},
			}},
		},
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: ptr.To(metav1.Now()), ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}}
	Expect(api.Status().Update(ctx, pod)).To(Succeed())
	return pod
}

// beginDrain deletes a pod as its owner does.
func beginDrain(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	Expect(api.Delete(ctx, pod)).To(Succeed())
}

// endDrain does what the kubelet does when a pod has drained: it reports how
// the container ended, and removes the object at once.
func endDrain(ctx context.Context, pod *corev1.Pod, outcome string) {
	GinkgoHelper()
	Expect(api.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		StartedAt: pod.CreationTimestamp, FinishedAt: metav1.Now(),
		Message: hold.Result{Outcome: outcome, HeldSeconds: 0.1}.Line(),
	}}
	Expect(api.Status().Update(ctx, pod)).To(Succeed())
	Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})).To(Succeed())
}

// inParallel calls do for 0 to n-1, a few at a time.
func inParallel(n int, do func(int)) {
	GinkgoHelper()
	work := make(chan int)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			defer GinkgoRecover()
			for i := range work {
				do(i)
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	workers.Wait()
}

// auditor watches every version of a policy's status, as anybody could.
type auditor struct {
	mu       sync.Mutex
	seen     map[string]v1alpha1.Outcome
	counts   v1alpha1.DrainCounts
	versions int
	problems []string
}

func audit(ctx context.Context, p *v1alpha1.DrainPolicy) *auditor {
	GinkgoHelper()
	versions, err := api.Watch(ctx, &v1alpha1.DrainPolicyList{}, client.InNamespace(p.Namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: p.ResourceVersion}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(versions.Stop)
	a := &auditor{seen: map[string]v1alpha1.Outcome{}}
	go func() {
		for event := range versions.ResultChan() {
			if version, ok := event.Object.(*v1alpha1.DrainPolicy); ok && event.Type == watch.Modified {
				a.check(version)
			}
		}
	}()
	return a
}

// check holds every version against the ones before: what is new in the list
// is new in the counters, and nothing else.
func (a *auditor) check(p *v1alpha1.DrainPolicy) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.versions++
	for _, r := range p.Status.RecentDrains {
		if _, again := a.seen[r.UID]; again {
			continue
		}
		a.seen[r.UID] = r.Outcome
		a.counts = add(a.counts, r.Outcome)
	}
	if a.counts != p.Status.Drains {
		a.problems = append(a.problems, fmt.Sprintf("version %s: listed so far %+v, counted %+v", p.ResourceVersion, a.counts, p.Status.Drains))
	}
}

func (a *auditor) report() (seen map[string]v1alpha1.Outcome, problems []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen = map[string]v1alpha1.Outcome{}
	for uid, outcome := range a.seen {
		seen[uid] = outcome
	}
	return seen, append([]string(nil), a.problems...)
}

func add(c v1alpha1.DrainCounts, outcome v1alpha1.Outcome) v1alpha1.DrainCounts {
	switch outcome {
	case v1alpha1.OutcomeDrained:
		c.Drained++
	case v1alpha1.OutcomeTimedOut:
		c.TimedOut++
	case v1alpha1.OutcomeForced:
		c.Forced++
	case v1alpha1.OutcomeSkipped:
		c.Skipped++
	default:
		c.Unknown++
	}
	return c
}

// statusOf reads a policy's status.
func statusOf(ctx context.Context, p *v1alpha1.DrainPolicy) func(Gomega) v1alpha1.DrainPolicyStatus {
	return func(g Gomega) v1alpha1.DrainPolicyStatus {
		current := &v1alpha1.DrainPolicy{}
		g.Expect(api.Get(ctx, client.ObjectKeyFromObject(p), current)).To(Succeed())
		return current.Status
	}
}

// soon is how long anything may take that takes about a second.
const soon = 60 * time.Second
