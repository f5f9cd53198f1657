package framework

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// PolicyBuilder builds policies.
type PolicyBuilder struct{ policy v1alpha1.DrainPolicy }

// Policy begins a policy for the pods labelled app: name, with times that suit
// a test: out of rotation after 2 to 10 s, 2 s for the process to end.
func Policy(name string) *PolicyBuilder {
	return &PolicyBuilder{policy: v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.DrainPolicySpec{
			Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}},
			PreStop:     v1alpha1.PreStop{PropagationSeconds: ptr.To[int32](2), PropagationMaxSeconds: 10},
			GracePeriod: v1alpha1.GracePeriod{ShutdownSeconds: ptr.To[int32](2)},
		},
	}}
}

// PolicyForAll begins a Policy that selects every pod of its namespace.
func PolicyForAll(name string) *PolicyBuilder {
	return Policy(name).With(func(s *v1alpha1.DrainPolicySpec) { s.Selector = &metav1.LabelSelector{} })
}

// HTTP reads the drain status from the workload's endpoint of that dialect.
func (b *PolicyBuilder) HTTP(dialect v1alpha1.DrainedWhen) *PolicyBuilder {
	http := &v1alpha1.HTTPDrainStatus{Port: intstr.FromInt32(StatusPort), DrainedWhen: dialect}
	switch dialect {
	case v1alpha1.DrainedWhenBody:
		http.Path = "/drain-status"
	case v1alpha1.DrainedWhenStatusCode:
		http.Path = "/idle"
	case v1alpha1.DrainedWhenMetric:
		http.Path = "/metrics"
		http.Metric = &v1alpha1.MetricSelector{Name: "workload_in_flight", MatchLabels: map[string]string{"kind": "http"}}
	}
	b.policy.Spec.DrainStatus = v1alpha1.DrainStatus{HTTP: http}
	return b
}

// HTTPAt reads it from an endpoint of the protocol at another port.
func (b *PolicyBuilder) HTTPAt(port int) *PolicyBuilder {
	b.HTTP(v1alpha1.DrainedWhenBody)
	b.policy.Spec.DrainStatus.HTTP.Port = intstr.FromInt(port)
	return b
}

// TCP reads it from the connections.
func (b *PolicyBuilder) TCP(idleSeconds int32) *PolicyBuilder {
	b.policy.Spec.DrainStatus = v1alpha1.DrainStatus{TCP: &v1alpha1.TCPDrainStatus{IdleSeconds: idleSeconds}}
	return b
}

// Notify tells the workload that it drains.
func (b *PolicyBuilder) Notify() *PolicyBuilder {
	b.policy.Spec.PreStop.Notify = &v1alpha1.Notify{Port: intstr.FromInt32(StatusPort), Path: "/drain"}
	return b
}

// Propagation sets the least and the most time in rotation.
func (b *PolicyBuilder) Propagation(least, most int32) *PolicyBuilder {
	b.policy.Spec.PreStop.PropagationSeconds = &least
	b.policy.Spec.PreStop.PropagationMaxSeconds = most
	return b
}

// MaxHold bounds the hold.
func (b *PolicyBuilder) MaxHold(seconds int32) *PolicyBuilder {
	b.policy.Spec.PreStop.MaxHoldSeconds = &seconds
	return b
}

// Selects makes it one for the pods labelled app: name.
func (b *PolicyBuilder) Selects(name string) *PolicyBuilder {
	b.policy.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
	return b
}

// Observe makes it one that changes nothing.
func (b *PolicyBuilder) Observe() *PolicyBuilder {
	b.policy.Spec.Mode = v1alpha1.ModeObserve
	return b
}

// PodMetrics sees the latency on the workload's own page, without its probes.
func (b *PolicyBuilder) PodMetrics() *PolicyBuilder {
	b.policy.Spec.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{
		Port: intstr.FromString("status"), Histogram: latencyHistogram,
		Exclude: []v1alpha1.LabelValues{{Label: "path", Values: []string{"/healthz", "/readyz"}}},
	}}
	return b
}

// Prometheus sees the latency of the work in a Prometheus of RunPrometheus.
func (b *PolicyBuilder) Prometheus(name string) *PolicyBuilder {
	b.policy.Spec.GracePeriod.Latency = &v1alpha1.Latency{Prometheus: &v1alpha1.PrometheusLatency{
		Source: name,
		Query:  `sum by (le) (increase(` + latencyHistogram + `_bucket{path="/work",pod=~"{{ pods }}"}[{{ window }}]))`,
	}}
	return b
}

// Window is how far back is looked, and for how long a shorter grace must have
// been enough. Both in seconds.
func (b *PolicyBuilder) Window(seconds, stabilization int32) *PolicyBuilder {
	b.policy.Spec.GracePeriod.WindowSeconds = seconds
	b.policy.Spec.GracePeriod.StabilizationWindowSeconds = &stabilization
	return b
}

// With edits the spec in a way that has no verb of its own.
func (b *PolicyBuilder) With(edit func(*v1alpha1.DrainPolicySpec)) *PolicyBuilder {
	edit(&b.policy.Spec)
	return b
}

// Obj is the policy.
func (b *PolicyBuilder) Obj() *v1alpha1.DrainPolicy { return b.policy.DeepCopy() }

// Apply creates a policy and waits until pods of the namespace are injected.
func (n *Namespace) Apply(ctx context.Context, b *PolicyBuilder) {
	GinkgoHelper()
	n.Create(ctx, b.Obj())
	n.AwaitCondition(ctx, b.policy.Name, v1alpha1.ConditionReady, metav1.ConditionTrue)
}

// AwaitCondition waits until a condition of a policy has a status for the
// policy's newest generation, and returns it.
func (n *Namespace) AwaitCondition(ctx context.Context, policy, condition string, status metav1.ConditionStatus) metav1.Condition {
	GinkgoHelper()
	var found metav1.Condition
	n.AwaitPolicy(ctx, policy, func(g Gomega, p *v1alpha1.DrainPolicy) {
		c := meta.FindStatusCondition(p.Status.Conditions, condition)
		g.Expect(c).NotTo(BeNil(), "condition %s, of %v", condition, p.Status.Conditions)
		g.Expect(c.ObservedGeneration).To(Equal(p.Generation), "%+v", *c)
		g.Expect(c.Status).To(Equal(status), "%+v", *c)
		found = *c
	})
	return found
}

// AwaitPolicy waits until a policy is as expected.
func (n *Namespace) AwaitPolicy(ctx context.Context, name string, expect func(Gomega, *v1alpha1.DrainPolicy)) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		var p v1alpha1.DrainPolicy
		g.Expect(n.Client.Get(ctx, client.ObjectKey{Namespace: n.Name, Name: name}, &p)).To(Succeed())
		expect(g, &p)
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}
