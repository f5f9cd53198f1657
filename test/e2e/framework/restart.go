package framework

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// RestartTimes deadlocks the container "app" of pods, all at once, and returns
// how long each took to run again.
func (n *Namespace) RestartTimes(ctx context.Context, pods ...string) map[string]time.Duration {
	GinkgoHelper()
	began := map[string]time.Time{}
	for _, name := range pods {
		_, err := n.Call(ctx, name, WorkPort, "deadlock")
		Expect(err).NotTo(HaveOccurred())
		began[name] = time.Now()
	}
	took := map[string]time.Duration{}
	Eventually(func(g Gomega) {
		for _, name := range pods {
			var pod corev1.Pod
			g.Expect(n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, &pod)).To(Succeed())
			status := pod.Status.ContainerStatuses[0]
			if _, done := took[name]; !done && status.RestartCount > 0 && status.State.Running != nil {
				took[name] = time.Since(began[name])
			}
		}
		g.Expect(took).To(HaveLen(len(pods)))
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return took
}

// LastEnd is how the container "app" of a pod ended before it was restarted.
func (n *Namespace) LastEnd(ctx context.Context, pod string) End {
	GinkgoHelper()
	status := Get(ctx, n, pod, &corev1.Pod{}).Status.ContainerStatuses[0]
	Expect(status.LastTerminationState.Terminated).NotTo(BeNil())
	return endOf(*status.LastTerminationState.Terminated, time.Time{})
}

// Hook is the preStop hook of a container, nil if it has none.
func Hook(pod *corev1.Pod, container string) *corev1.LifecycleHandler {
	for _, c := range pod.Spec.Containers {
		if c.Name == container && c.Lifecycle != nil {
			return c.Lifecycle.PreStop
		}
	}
	return nil
}

// Injected says whether the operator injected a pod.
func Injected(pod *corev1.Pod) bool { return pod.Labels[v1alpha1.LabelInjected] == "true" }

// After waits until d after the deletion of the one pod that drains: a load
// balancer that is slow to notice. It returns the time then.
func (n *Namespace) After(ctx context.Context, drains *Drains, d time.Duration) time.Time {
	GinkgoHelper()
	drains.AwaitDraining(ctx, 1)
	all := append(drains.Draining(), drains.Ended()...)
	Expect(all).To(HaveLen(1))
	select {
	case <-time.After(time.Until(all[0].Asked.Add(d))):
	case <-ctx.Done():
		Fail("interrupted")
	}
	return time.Now()
}
