package webhook

import (
	"context"
	"os"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// edit is a policy before, and what changes in it.
type edit struct {
	before, change func(*v1alpha1.DrainPolicySpec)
}

func withHTTP(s *v1alpha1.DrainPolicySpec) {
	s.DrainStatus.HTTP = &v1alpha1.HTTPDrainStatus{Port: intstr.FromInt32(8080)}
}

func withMetric(s *v1alpha1.DrainPolicySpec) {
	withHTTP(s)
	s.DrainStatus.HTTP.DrainedWhen = v1alpha1.DrainedWhenMetric
	s.DrainStatus.HTTP.Metric = &v1alpha1.MetricSelector{Name: "in_flight"}
}

func withTCP(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.TCP = &v1alpha1.TCPDrainStatus{} }

func withNotify(s *v1alpha1.DrainPolicySpec) {
	s.PreStop.Notify = &v1alpha1.Notify{Port: intstr.FromInt32(8080)}
}

func releasedEarly(s *v1alpha1.DrainPolicySpec) {
	s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation
}

func withLongLived(s *v1alpha1.DrainPolicySpec) {
	withHTTP(s)
	withNotify(s)
	s.LongLived.Policy = v1alpha1.LongLivedWait
}

// nextAdmission are the rows of docs/editing.md that act with the next
// admission, but for the selector.
var nextAdmission = map[string]edit{
	"spec.drainStatus.http.port":               {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.Port = intstr.FromInt32(9090) }},
	"spec.drainStatus.http.path":               {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.Path = "/other" }},
	"spec.drainStatus.http.scheme":             {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.Scheme = v1alpha1.SchemeHTTPS }},
	"spec.drainStatus.http.timeoutSeconds":     {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.TimeoutSeconds = 7 }},
	"spec.drainStatus.http.periodSeconds":      {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.PeriodSeconds = 7 }},
	"spec.drainStatus.http.drainedWhen":        {withHTTP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.DrainedWhen = v1alpha1.DrainedWhenStatusCode }},
	"spec.drainStatus.http.metric.name":        {withMetric, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.Metric.Name = "other" }},
	"spec.drainStatus.http.metric.matchLabels": {withMetric, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.HTTP.Metric.MatchLabels = map[string]string{"a": "b"} }},
	"spec.drainStatus.tcp.ports":               {withTCP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.TCP.Ports = []int32{9090} }},
	"spec.drainStatus.tcp.idleSeconds":         {withTCP, func(s *v1alpha1.DrainPolicySpec) { s.DrainStatus.TCP.IdleSeconds = 7 }},
	"spec.preStop.strategy":                    {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.Strategy = v1alpha1.StrategySleep }},
	"spec.preStop.existingHook":                {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.ExistingHook = v1alpha1.ExistingHookRunFirst }},
	"spec.preStop.releaseWhen":                 {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.ReleaseWhen = v1alpha1.ReleaseWhenOutOfRotation }},
	"spec.preStop.propagationSeconds":          {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationSeconds = ptr.To[int32](7) }},
	"spec.preStop.propagationMaxSeconds":       {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.PropagationMaxSeconds = 7 }},
	"spec.preStop.maxHoldSeconds":              {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.MaxHoldSeconds = ptr.To[int32](7) }},
	"spec.preStop.notify.port":                 {withNotify, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.Notify.Port = intstr.FromInt32(9090) }},
	"spec.preStop.notify.path":                 {withNotify, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.Notify.Path = "/other" }},
	"spec.preStop.stopSignal":                  {nil, func(s *v1alpha1.DrainPolicySpec) { s.PreStop.StopSignal = v1alpha1.StopSignalQUIT }},
	"spec.longLived.policy":                    {withLongLived, func(s *v1alpha1.DrainPolicySpec) { s.LongLived.Policy = v1alpha1.LongLivedCloseAfter }},
	"spec.longLived.noticeSeconds":             {withLongLived, func(s *v1alpha1.DrainPolicySpec) { s.LongLived.NoticeSeconds = 20 }},
	"spec.gracePeriod.minSeconds":              {nil, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.MinSeconds = 300 }},
	"spec.gracePeriod.maxSeconds":              {nil, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.MaxSeconds = 50 }},
	"spec.gracePeriod.serverTimeout":           {releasedEarly, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.ServerTimeout = v1alpha1.ServerTimeoutAlign }},
	"spec.gracePeriod.shutdownSeconds":         {nil, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.ShutdownSeconds = ptr.To[int32](3) }},
}

// stopsInjection are the rows after which new pods are not injected any more.
var stopsInjection = map[string]func(context.Context, *v1alpha1.DrainPolicy) error{
	"spec.selector": func(ctx context.Context, p *v1alpha1.DrainPolicy) error {
		return patch(ctx, p, func(s *v1alpha1.DrainPolicySpec) {
			s.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}
		})
	},
	"spec.mode": func(ctx context.Context, p *v1alpha1.DrainPolicy) error {
		return patch(ctx, p, func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })
	},
	"deletion": func(ctx context.Context, p *v1alpha1.DrainPolicy) error { return shared.Client.Delete(ctx, p) },
}

// patch edits a policy whose status the operator writes meanwhile.
func patch(ctx context.Context, policy *v1alpha1.DrainPolicy, change func(*v1alpha1.DrainPolicySpec)) error {
	before := policy.DeepCopy()
	change(&policy.Spec)
	return shared.Client.Patch(ctx, policy, client.MergeFrom(before))
}

// serving is a pod in which every setting shows: it has ports, a hook, and a
// server with a timeout of its own.
func serving(p *corev1.Pod) {
	p.Name, p.GenerateName = "web", ""
	p.Spec.Containers[0].Command = []string{"gunicorn", "app:app"}
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	hooked := p.Spec.Containers[0].DeepCopy()
	hooked.Name, hooked.Ports = "hooked", nil
	hooked.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/bye"}}}}
	p.Spec.Containers = append(p.Spec.Containers, *hooked)
}

var _ = Describe("An edit of a policy", func() {
	It("is described for every field that is tested here", func() {
		page, err := os.ReadFile(framework.File("docs/editing.md"))
		Expect(err).NotTo(HaveOccurred())
		var described []string
		for _, row := range regexp.MustCompile("(?m)^\\| `?(spec[.a-zA-Z]+|deletion)`? \\| ([a-z ]+) \\|").FindAllStringSubmatch(string(page), -1) {
			// Looks are tested in packages grace and observe, what the gate does to pods that run in package drain.
			if row[2] != "next look" && !strings.HasPrefix(row[1], "spec.gate.") {
				described = append(described, row[1])
			}
		}
		tested := []string{"spec.gracePeriod.latency"}
		for field := range nextAdmission {
			tested = append(tested, field)
		}
		for field := range stopsInjection {
			tested = append(tested, field)
		}
		Expect(tested).To(ConsistOf(described))
	})

	for field, edit := range nextAdmission {
		It("acts with the next admission: "+field, func(ctx context.Context) {
			namespace := shared.namespace(ctx, nil)
			policy := shared.policy(ctx, namespace, "web", edit.before)
			shared.eventuallyInjects(ctx, policy)
			running := shared.pod(ctx, namespace, serving)
			Expect(patch(ctx, policy, edit.change)).To(Succeed())
			Eventually(shared.injectedBy).WithArguments(ctx, namespace).Should(Equal("web/2"))

			next := shared.pod(ctx, namespace, func(p *corev1.Pod) { serving(p); p.Name = "next" })
			Expect(next.Spec).NotTo(Equal(running.Spec))
			expectUntouched(ctx, running)
		})
	}

	It("acts with the next admission: spec.gracePeriod.latency", func(ctx context.Context) {
		policy := shared.policy(ctx, shared.namespace(ctx, nil), "web", measuring)
		shared.measured(ctx, policy, createdWithGrace)
		next := func() *int64 {
			return shared.pod(ctx, policy.Namespace, nil, client.DryRunAll).Spec.TerminationGracePeriodSeconds
		}
		Eventually(next).Should(HaveValue(BeEquivalentTo(createdWithGrace)))
		Expect(patch(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.Latency = nil })).To(Succeed())
		// propagation 30, the pod's own grace 30, and the shutdown.
		Eventually(next).Should(HaveValue(BeEquivalentTo(30 + 30 + shutdownSeconds)))
	})

	for row, change := range stopsInjection {
		It("stops the injection of new pods, and leaves the others: "+row, func(ctx context.Context) {
			namespace := shared.namespace(ctx, nil)
			policy := shared.policy(ctx, namespace, "web", nil)
			shared.eventuallyInjects(ctx, policy)
			running := shared.pod(ctx, namespace, serving)
			Expect(change(ctx, policy)).To(Succeed())
			Eventually(shared.injectedBy).WithArguments(ctx, namespace).Should(BeEmpty())
			expectUntouched(ctx, running)
		})
	}
})

// expectUntouched: nobody has written the pod since.
func expectUntouched(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	now := &corev1.Pod{}
	Expect(shared.Client.Get(ctx, client.ObjectKeyFromObject(pod), now)).To(Succeed())
	Expect(now.ResourceVersion).To(Equal(pod.ResourceVersion))
}
