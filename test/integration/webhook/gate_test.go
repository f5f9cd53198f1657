package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// Nobody answers for pods here: they are held until their bound.
func holdsForLong(s *v1alpha1.DrainPolicySpec) {
	holdsDeletions(s)
	s.Gate.OnStatusFailure = v1alpha1.OnStatusFailureHold
}

var _ = Describe("The gate", func() {
	var clients *kubernetes.Clientset
	var policy *v1alpha1.DrainPolicy

	BeforeEach(func(ctx context.Context) {
		var err error
		clients, err = kubernetes.NewForConfig(shared.Config)
		Expect(err).NotTo(HaveOccurred())
		policy = shared.policy(ctx, shared.namespace(ctx, nil), "web", holdsForLong)
		shared.eventuallyInjects(ctx, policy)
		shared.answered(ctx, policy)
	})

	DescribeTable("refuses with 429, at once, and writes down who asked for what", func(ctx context.Context, kind drain.Kind, grace int64, ask func(context.Context, *kubernetes.Clientset, *corev1.Pod) error) {
		pod := shared.heldPod(ctx, policy)
		before := gateRequests(operator, kind, drain.RefusedNotDrained)
		asked := time.Now().Truncate(time.Second)
		headers, noting := notes(shared.Config)
		err := ask(ctx, noting, pod)
		Expect(err).To(refused)
		Expect(err).To(MatchError(And(ContainSubstring("pod %s/%s is held until it has drained (DrainPolicy web)", pod.Namespace, pod.Name), ContainSubstring("at the latest"))))
		Expect(headers()).To(HaveLen(1), "nothing tells a client to ask again inside its call")
		Expect(headers()[0]).NotTo(HaveKey("Retry-After"))
		Expect(gateRequests(operator, kind, drain.RefusedNotDrained)).To(askedOnceMoreThan(before))

		wish := shared.eventuallyWished(ctx, pod)
		Expect(wish.Kind).To(Equal(kind))
		Expect(wish.By).To(Equal(admin(ctx, shared)))
		Expect(wish.Since).To(BeTemporally(">=", asked))
		Expect(wish.LastAsked).To(Equal(wish.Since))
		if grace > 0 {
			Expect(wish.GraceSeconds).To(HaveValue(Equal(grace)))
		} else {
			Expect(wish.GraceSeconds).To(BeNil())
		}
	},
		Entry("a deletion", drain.Delete, int64(0), func(ctx context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
			return c.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		}),
		Entry("a deletion of the very pod with another grace", drain.Delete, int64(7), func(ctx context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
			return c.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
				GracePeriodSeconds: ptr.To[int64](7), Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
			})
		}),
		Entry("an eviction by policy/v1", drain.Evict, int64(0), func(_ context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
			return evict(c, pod, nil)
		}),
		Entry("an eviction by policy/v1 with another grace", drain.Evict, int64(7), func(_ context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
			return evict(c, pod, &metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](7)})
		}),
		Entry("an eviction by policy/v1beta1", drain.Evict, int64(0), func(_ context.Context, c *kubernetes.Clientset, pod *corev1.Pod) error {
			return evictBeta(c, pod, &metav1.DeleteOptions{})
		}),
	)

	It("answers dry runs the same, and they leave no trace", func(ctx context.Context) {
		pod := shared.heldPod(ctx, policy)
		before := gateRequests(operator, "", "")
		dry := metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}
		Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, dry)).To(refused)
		Expect(evict(clients, pod, &dry)).To(refused)
		Expect(evictBeta(clients, pod, &dry)).To(refused)
		Expect(shared.Client.SubResource("eviction").Create(ctx, pod.DeepCopy(), &policyv1.Eviction{}, client.DryRunAll)).To(refused)
		Expect(gateRequests(operator, "", "")).To(Equal(before))
		Consistently(func() ([]corev1.PodCondition, error) {
			current := &corev1.Pod{}
			err := shared.Client.Get(ctx, client.ObjectKeyFromObject(pod), current)
			return current.Status.Conditions, err
		}, "1s").Should(Equal(pod.Status.Conditions))
	})

	It("is not asked about deletions of other pods", func(ctx context.Context) {
		terminating := shared.heldPod(ctx, policy)
		other := shared.policy(ctx, shared.namespace(ctx, nil), "web", nil)
		shared.eventuallyInjects(ctx, other)
		elsewhere := shared.runningPod(ctx, other.Namespace)
		Expect(elsewhere.Labels).To(HaveKeyWithValue(v1alpha1.LabelInjected, "true"))
		unselected := shared.pod(ctx, policy.Namespace, func(p *corev1.Pod) {
			p.Labels, p.Spec.NodeName = map[string]string{"app": "other"}, "nowhere"
		})
		Expect(shared.edit(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldDeletion })).To(Succeed())
		Expect(clients.CoreV1().Pods(policy.Namespace).Delete(ctx, terminating.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})).To(Succeed())

		terminating = shared.heldPod(ctx, policy)
		Expect(as(ctx, shared, namespaceController).CoreV1().Pods(policy.Namespace).Delete(ctx, terminating.Name, metav1.DeleteOptions{})).To(Succeed())
		before := gateRequests(operator, "", "")
		for _, pod := range []*corev1.Pod{elsewhere, unselected, terminating} {
			Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](1)})).To(Succeed(), pod.Name)
			Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})).To(Succeed(), pod.Name)
		}
		Expect(gateRequests(operator, "", "")).To(Equal(before))
	})

	It("is asked about evictions of pods of its namespaces only", func(ctx context.Context) {
		other := shared.runningPod(ctx, shared.namespace(ctx, nil))
		before := gateRequests(operator, "", "")
		Expect(evict(clients, other, nil)).To(Succeed())
		Expect(gateRequests(operator, "", "")).To(Equal(before))
	})

	It("lets a forced deletion pass", func(ctx context.Context) {
		pod := shared.heldPod(ctx, policy)
		before := gateRequests(operator, drain.Delete, drain.AllowedForced)
		Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})).To(Succeed())
		Expect(gateRequests(operator, drain.Delete, drain.AllowedForced)).To(askedOnceMoreThan(before))
	})

	It("refuses a collection at the first pod that is held", func(ctx context.Context) {
		first, second := shared.heldPod(ctx, policy), shared.heldPod(ctx, policy)
		Expect(clients.CoreV1().Pods(policy.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(refused)
		Eventually(func(g Gomega) {
			wished := 0
			for _, pod := range []*corev1.Pod{first, second} {
				g.Expect(shared.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
				g.Expect(pod.DeletionTimestamp).To(BeNil())
				if wish, ok := drain.WishOf(pod); ok {
					wished++
					g.Expect(wish.Kind).To(Equal(drain.Delete))
				}
			}
			g.Expect(wished).To(BeNumerically(">=", 1))
		}).Should(Succeed())
	})

	// No namespace controller runs here: whoever asks, and the operator's view of
	// the namespace, are what counts.
	It("holds nothing when the namespace goes", func(ctx context.Context) {
		pods := []*corev1.Pod{shared.heldPod(ctx, policy), shared.heldPod(ctx, policy)}
		Expect(as(ctx, shared, namespaceController).CoreV1().Pods(policy.Namespace).Delete(ctx, pods[0].Name, metav1.DeleteOptions{})).To(Succeed())
		Expect(clients.CoreV1().Pods(policy.Namespace).Delete(ctx, pods[1].Name, metav1.DeleteOptions{})).To(refused)
		Expect(shared.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: policy.Namespace}})).To(Succeed())
		Eventually(func() error {
			return client.IgnoreNotFound(clients.CoreV1().Pods(policy.Namespace).Delete(ctx, pods[1].Name, metav1.DeleteOptions{}))
		}).Should(Succeed())
		Expect(gateRequests(operator, drain.Delete, drain.AllowedNamespaceEnds)).To(BeNumerically(">=", 1))
	})

	It("is not registered any more when the policy holds no deletions", func(ctx context.Context) {
		pod := shared.heldPod(ctx, policy)
		Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})).To(refused)
		Expect(shared.edit(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination })).To(Succeed())
		Eventually(shared.gateNamespaces).WithArguments(ctx).ShouldNot(ContainElement(policy.Namespace))
		Eventually(func() error {
			return client.IgnoreNotFound(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}))
		}).Should(Succeed())
	})

	It("fails open when the operator does not answer", Serial, func(ctx context.Context) {
		pod := shared.heldPod(ctx, policy)
		Expect(operator.Pause()).To(Succeed())
		resumed := false
		resume := func() {
			if !resumed {
				resumed = true
				Expect(operator.Resume()).To(Succeed())
			}
		}
		DeferCleanup(resume)
		start := time.Now()
		Expect(clients.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})).To(Succeed())
		took := time.Since(start)
		resume()
		Expect(took).To(BeNumerically(">=", 2*time.Second), "or it did not hang")
		Expect(took).To(BeNumerically("<", withoutTimeout))
	})
})

// namespaceController empties namespaces that are being deleted.
const namespaceController = "system:serviceaccount:kube-system:namespace-controller"

// refused is what the gate answers: 429, without a word about when to ask again.
var refused = And(
	MatchError(apierrors.IsTooManyRequests, "IsTooManyRequests"),
	WithTransform(func(err error) bool { _, delays := apierrors.SuggestsClientDelay(err); return delays }, BeFalse()),
	MatchError(ContainSubstring("gate.drain-operator.dev")),
)

// askedOnceMoreThan before. An API server whose view of a pod was not the newest
// asks about its deletion twice.
func askedOnceMoreThan(before float64) OmegaMatcher {
	return Or(Equal(before+1), Equal(before+2))
}

// as is a client of somebody else, who may do anything.
func as(_ context.Context, c cluster, user string) *kubernetes.Clientset {
	GinkgoHelper()
	config := rest.CopyConfig(c.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	clients, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return clients
}

// notes is a client, and the headers of the answers that it has got.
func notes(config *rest.Config) (headers func() []http.Header, clients *kubernetes.Clientset) {
	GinkgoHelper()
	var got []http.Header
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err == nil {
				got = append(got, response.Header)
			}
			return response, err
		})
	})
	clients, err := kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return func() []http.Header { return got }, clients
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// admin is who the tests are to the API server.
func admin(ctx context.Context, c cluster) string {
	GinkgoHelper()
	clients, err := kubernetes.NewForConfig(c.Config)
	Expect(err).NotTo(HaveOccurred())
	name, err := whoIs(ctx, clients)
	Expect(err).NotTo(HaveOccurred())
	return name
}

// answered makes a policy one whose pods have answered about their drain status.
func (c cluster) answered(ctx context.Context, policy *v1alpha1.DrainPolicy) {
	GinkgoHelper()
	Eventually(func() error { // the operator writes statuses, too
		current := &v1alpha1.DrainPolicy{}
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(policy), current); err != nil {
			return err
		}
		kept := []metav1.Condition{{
			Type: v1alpha1.ConditionDrainStatusReachable, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonStatusAnswered,
			Message: "said by the test", LastTransitionTime: metav1.Now(),
		}}
		for _, condition := range current.Status.Conditions {
			if condition.Type != v1alpha1.ConditionDrainStatusReachable {
				kept = append(kept, condition)
			}
		}
		current.Status.Conditions = kept
		return c.Client.Status().Update(ctx, current)
	}).Should(Succeed())
}

// heldPod is a pod that runs and has been ready, so that its end is held: until
// a dry run is refused. It is not ready now, so that nobody asks it whether it
// could be asked.
func (c cluster) heldPod(ctx context.Context, policy *v1alpha1.DrainPolicy) *corev1.Pod {
	GinkgoHelper()
	Eventually(func() (bool, error) { // the operator may not have seen yet that pods answer, or who leads
		pod := webPod(policy.Namespace)
		err := c.Client.Create(ctx, pod, client.DryRunAll)
		return hasGate(pod), err
	}).Should(BeTrue(), "pods get no readiness gate")
	pod := c.runningPod(ctx, policy.Namespace)
	Expect(hasGate(pod)).To(BeTrue(), "it got no readiness gate")
	status := fmt.Sprintf(`{"phase": "Running", "podIP": "192.0.2.1",
		"containerStatuses": [{"name": "app", "image": "web", "imageID": "web", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": %q}}}],
		"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": %q}]}`,
		time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(-time.Minute).UTC().Format(time.RFC3339))
	patch, err := json.Marshal(map[string]json.RawMessage{"status": json.RawMessage(status)})
	Expect(err).NotTo(HaveOccurred())
	Expect(c.Client.Status().Patch(ctx, pod, client.RawPatch("application/strategic-merge-patch+json", patch))).To(Succeed())
	Eventually(func(g Gomega) {
		g.Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		g.Expect(inRotation(pod)).To(Equal(corev1.ConditionTrue))
		g.Expect(c.Client.Delete(ctx, pod, client.DryRunAll)).To(refused)
		g.Expect(c.Client.SubResource("eviction").Create(ctx, pod.DeepCopy(), &policyv1.Eviction{}, client.DryRunAll)).To(refused)
	}).Should(Succeed())
	return pod
}

// eventuallyWished returns what is written to a pod of who asked for its end.
func (c cluster) eventuallyWished(ctx context.Context, pod *corev1.Pod) drain.Wish {
	GinkgoHelper()
	var wish drain.Wish
	Eventually(func(g Gomega) {
		current := &corev1.Pod{}
		g.Expect(c.Client.Get(ctx, client.ObjectKeyFromObject(pod), current)).To(Succeed())
		var wished bool
		wish, wished = drain.WishOf(current)
		g.Expect(wished).To(BeTrue())
	}).Should(Succeed())
	return wish
}

// gateRequests is how many requests a replica answered, of a kind and by a
// reason, or of any.
func gateRequests(replica *framework.Operator, kind drain.Kind, reason drain.VerdictReason) float64 {
	GinkgoHelper()
	labels := map[string]string{}
	if kind != "" {
		labels["kind"] = string(kind)
	}
	if reason != "" {
		labels["reason"] = string(reason)
	}
	return metric(replica, "drain_operator_gate_requests_total", labels)
}
