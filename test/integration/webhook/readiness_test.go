package webhook

import (
	"context"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/store"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

const gateMetric = "drain_operator_readiness_gate_seconds"

// Ordered, on an API server of its own: who leads and whether anybody does is
// what it is about.
var _ = Describe("The readiness gate", Ordered, func() {
	var (
		own     cluster
		policy  *v1alpha1.DrainPolicy
		token   string
		address string // of the one replica that answers, whoever leads
	)

	BeforeAll(func(ctx context.Context) {
		own = startCluster(ctx)
		token = mayReadMetrics(ctx, own)
		policy = own.policy(ctx, own.namespace(ctx, nil), "web", holdsDeletions)
		addresses, err := framework.FreeAddresses(1)
		Expect(err).NotTo(HaveOccurred())
		address = addresses[0]
	})

	// answering runs a replica at the address that is registered.
	answering := func(ctx context.Context, flags ...string) *framework.Operator {
		GinkgoHelper()
		_, port, err := net.SplitHostPort(address)
		Expect(err).NotTo(HaveOccurred())
		return own.run(ctx, append([]string{"--webhook-url=https://" + address, "--webhook-port=" + port}, flags...)...)
	}

	newPod := func(ctx context.Context) *corev1.Pod {
		GinkgoHelper()
		return own.pod(ctx, policy.Namespace, nil)
	}
	gets := func(ctx context.Context) (bool, error) {
		pod := webPod(policy.Namespace)
		err := own.Client.Create(ctx, pod, client.DryRunAll)
		return hasGate(pod), err
	}
	set := func(ctx context.Context, pod *corev1.Pod) (corev1.ConditionStatus, error) {
		current := &corev1.Pod{}
		err := own.Client.Get(ctx, client.ObjectKeyFromObject(pod), current)
		return inRotation(current), err
	}

	It("is given to pods whose deletion is held, and set", func(ctx context.Context) {
		answering(ctx)
		own.eventuallyInjects(ctx, policy)
		Eventually(gets).WithContext(ctx).Should(BeTrue())
		pod := newPod(ctx)
		Expect(pod.Spec.ReadinessGates).To(Equal([]corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}))
		Eventually(set).WithContext(ctx).WithArguments(pod).Should(Equal(corev1.ConditionTrue))

		By("taking the condition off the pod")
		Expect(own.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		pod.Status.Conditions = nil
		Expect(own.Client.Status().Update(ctx, pod)).To(Succeed())
		Eventually(set).WithContext(ctx).WithArguments(pod).Should(Equal(corev1.ConditionTrue))

		By("creating another one from what the first one is")
		copied := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "copy", Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec}
		copied.Spec.NodeName = ""
		Expect(own.Client.Create(ctx, copied)).To(Succeed())
		Expect(copied.Spec.ReadinessGates).To(HaveLen(1))

		By("no longer holding deletions")
		Expect(own.edit(ctx, policy, func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination })).To(Succeed())
		Eventually(gets).WithContext(ctx).Should(BeFalse())
		again := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "copy-2", Labels: pod.Labels, Annotations: pod.Annotations}, Spec: pod.Spec}
		Expect(own.Client.Create(ctx, again)).To(Succeed())
		Expect(hasGate(again)).To(BeFalse(), "a copy of one that has it")
		Expect(own.edit(ctx, policy, holdsDeletions)).To(Succeed())
		Eventually(gets).WithContext(ctx).Should(BeTrue())
	})

	It("is set after a restart on pods that missed it", func(ctx context.Context) {
		pod := own.pod(ctx, policy.Namespace, func(p *corev1.Pod) { // nobody answers: the gate is what it is
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
		})
		Expect(inRotation(pod)).To(BeEmpty())
		replica := answering(ctx)
		Eventually(set).WithContext(ctx).WithArguments(pod).Should(Equal(corev1.ConditionTrue))
		Eventually(replica.Metrics).WithArguments(token, gateMetric, map[string]string{}).Should(BeEquivalentTo(1))
	})

	It("is set by one write when two replicas see the pod", func(ctx context.Context) {
		const pods = 10
		replicas := []*framework.Operator{answering(ctx), own.run(ctx, "--webhook-url=https://"+address)}
		own.eventuallyInjects(ctx, policy)
		Eventually(gets).WithContext(ctx).Should(BeTrue())
		writes := own.countWrites(ctx, policy.Namespace)
		for range pods {
			newPod(ctx)
		}
		Eventually(writes).Should(HaveLen(pods))
		Consistently(writes).WithTimeout(2*time.Second).Should(And(HaveLen(pods), HaveEach(1)), "the other one had half a second")
		sum := 0.0
		for _, replica := range replicas {
			value, err := replica.Metrics(token, gateMetric, nil)
			Expect(err).NotTo(HaveOccurred())
			sum += value
		}
		Expect(sum).To(BeEquivalentTo(pods))
	})

	It("is not given while nobody leads or the operator is being uninstalled", func(ctx context.Context) {
		leader := own.lead(ctx)
		answering(ctx) // and never leads: the test does
		own.eventuallyInjects(ctx, policy)
		Eventually(gets).WithContext(ctx).Should(BeTrue(), "a leader was seen")
		pod := newPod(ctx)
		Eventually(set).WithContext(ctx).WithArguments(pod).Should(Equal(corev1.ConditionTrue), "by one that does not lead")

		By("letting the leader's lease grow old")
		seen := time.Now()
		Eventually(gets).WithContext(ctx).Should(BeFalse())
		AddReportEntry("until no gate is given, after a leader was seen to live", time.Since(seen).String())
		Expect(own.injectedBy(ctx, policy.Namespace)).To(HavePrefix("web/"))
		late := newPod(ctx)
		Expect(hasGate(late)).To(BeFalse())
		stripped := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: "copy-3", Labels: map[string]string{"app": "web"}}, Spec: pod.Spec}
		Expect(own.Client.Create(ctx, stripped)).To(Succeed())
		Expect(hasGate(stripped)).To(BeFalse(), "a copy of one that has it")

		By("renewing it")
		leader.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now().Add(-time.Hour))) // clocks differ
		Expect(own.Client.Update(ctx, leader)).To(Succeed())
		Eventually(gets).WithContext(ctx).WithTimeout(10 * time.Second).Should(BeTrue())

		By("uninstalling")
		uninstall := own.lease(store.ReleasingLease, 60)
		Expect(own.Client.Create(ctx, uninstall)).To(Succeed())
		Eventually(gets).WithContext(ctx).WithTimeout(5 * time.Second).Should(BeFalse())
		leader.Spec.RenewTime = ptr.To(metav1.NowMicro())
		Expect(own.Client.Update(ctx, leader)).To(Succeed())
		Expect(own.Client.Delete(ctx, uninstall)).To(Succeed())
		Eventually(gets).WithContext(ctx).WithTimeout(10 * time.Second).Should(BeTrue())
	})
})

func holdsDeletions(s *v1alpha1.DrainPolicySpec) {
	s.DrainStatus.HTTP = &v1alpha1.HTTPDrainStatus{Port: intstr.FromInt32(8080)}
	s.Gate.Hold = v1alpha1.HoldDeletion
}

func hasGate(pod *corev1.Pod) bool {
	for _, g := range pod.Spec.ReadinessGates {
		if g.ConditionType == v1alpha1.PodInRotation {
			return true
		}
	}
	return false
}

// inRotation is the status of the gate's condition, empty when there is none.
func inRotation(pod *corev1.Pod) corev1.ConditionStatus {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1alpha1.PodInRotation {
			return c.Status
		}
	}
	return ""
}

// edit changes a policy whose status the operator writes meanwhile.
func (c cluster) edit(ctx context.Context, policy *v1alpha1.DrainPolicy, change func(*v1alpha1.DrainPolicySpec)) error {
	before := policy.DeepCopy()
	change(&policy.Spec)
	return c.Client.Patch(ctx, policy, client.MergeFrom(before))
}

// lease is one that somebody holds who is not the operator.
func (c cluster) lease(name string, seconds int32) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: name},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To("test"), LeaseDurationSeconds: ptr.To(seconds), RenewTime: ptr.To(metav1.NowMicro()), AcquireTime: ptr.To(metav1.NowMicro()),
		},
	}
}

// lead takes the leader's lease for longer than the spec takes.
func (c cluster) lead(ctx context.Context) *coordinationv1.Lease {
	GinkgoHelper()
	lease := c.lease(store.LeaderLease, 3600)
	current := &coordinationv1.Lease{}
	Expect(c.Client.Get(ctx, types.NamespacedName{Namespace: lease.Namespace, Name: lease.Name}, current)).To(Succeed())
	current.Spec = lease.Spec
	Expect(c.Client.Update(ctx, current)).To(Succeed())
	return current
}

// countWrites returns what counts, by pod, the changes of pods that are created
// from now on. Nobody else changes pods here.
func (c cluster) countWrites(ctx context.Context, namespace string) func() map[types.UID]int {
	GinkgoHelper()
	clients, err := kubernetes.NewForConfig(c.Config)
	Expect(err).NotTo(HaveOccurred())
	list, err := clients.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	watching, err := clients.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(watching.Stop)
	writes, added := map[types.UID]int{}, map[types.UID]bool{}
	return func() map[types.UID]int {
		for {
			select {
			case e := <-watching.ResultChan():
				pod, ok := e.Object.(*corev1.Pod)
				switch {
				case !ok:
				case e.Type == watch.Added:
					added[pod.UID] = true
				case e.Type == watch.Modified && added[pod.UID]:
					writes[pod.UID]++
				}
			default:
				return writes
			}
		}
	}
}
