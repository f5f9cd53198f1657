package framework

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// RestartComponent restarts a component of the harness's cluster and returns
// when it is ready again. For specs labelled "node".
func RestartComponent(ctx context.Context, name string) {
	GinkgoHelper()
	harness := os.Getenv("CLUSTER_COMMAND")
	Expect(harness).NotTo(BeEmpty(), "CLUSTER_COMMAND must name the harness")
	text, err := output(exec.CommandContext(ctx, harness, "component", "restart", name))
	Expect(err).NotTo(HaveOccurred(), text)
}

// Scarce makes the node of a pod have one of a resource that nobody else has,
// until the spec ends, and returns its name. It must be asked for as a limit.
func (n *Namespace) Scarce(ctx context.Context, node string) corev1.ResourceName {
	GinkgoHelper()
	name := "drain-operator.dev/" + n.Name
	patch := func(ctx context.Context, value string) error {
		text := fmt.Sprintf(`{"status":{"capacity":{%q:%s},"allocatable":{%q:%s}}}`, name, value, name, value)
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}
		return n.Client.Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(text)))
	}
	Expect(patch(ctx, `"1"`)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) error { return patch(ctx, "null") }, NodeTimeout(short))
	return corev1.ResourceName(name)
}

// Takes asks for one of a resource.
func (b *PodBuilder) Takes(name corev1.ResourceName) *PodBuilder {
	one := corev1.ResourceList{name: resource.MustParse("1")}
	b.last().Resources.Limits = one
	b.last().Resources.Requests[name] = one[name]
	return b
}

// HigherPriority makes a priority class above the default one, until the spec
// ends, and returns its name.
func (n *Namespace) HigherPriority(ctx context.Context) string {
	GinkgoHelper()
	class := &schedulingv1.PriorityClass{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{labelSuite: "true"}}, Value: 1000,
	}
	Expect(n.Client.Create(ctx, class)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) error { return n.Client.Delete(ctx, class) }, NodeTimeout(short))
	return class.Name
}

// TaintFor taints a node with NoExecute until the spec ends. Only the pods of
// this namespace do not tolerate that.
func (n *Namespace) TaintFor(ctx context.Context, node string) {
	GinkgoHelper()
	taint := corev1.Taint{Key: "drain-operator.dev/" + n.Name, Effect: corev1.TaintEffectNoExecute}
	var pods corev1.PodList
	Expect(n.Client.List(ctx, &pods)).To(Succeed())
	for i := range pods.Items {
		if pod := &pods.Items[i]; pod.Namespace != n.Name && pod.DeletionTimestamp == nil {
			before := client.MergeFrom(pod.DeepCopy())
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: taint.Key, Operator: corev1.TolerationOpExists})
			Expect(client.IgnoreNotFound(n.Client.Patch(ctx, pod, before))).To(Succeed())
		}
	}
	set := func(ctx context.Context, with string) {
		GinkgoHelper()
		out, err := n.Kubectl(ctx, "taint", "node", node, taint.ToString()+with)
		Expect(err).NotTo(HaveOccurred(), out)
	}
	set(ctx, "")
	DeferCleanup(func(ctx SpecContext) { set(ctx, "-") }, NodeTimeout(short))
}

// NodeWithoutKubelet makes an object like the node of a pod, until the spec
// ends. Nobody schedules to it and nothing runs there.
func (n *Namespace) NodeWithoutKubelet(ctx context.Context, like string) *corev1.Node {
	GinkgoHelper()
	var real corev1.Node
	Expect(n.Client.Get(ctx, client.ObjectKey{Name: like}, &real)).To(Succeed())
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelOSStable: "linux", labelSuite: "true"}},
		Spec:       corev1.NodeSpec{Unschedulable: true},
		Status:     real.Status, // the operator asks all nodes what they can do
	}
	Expect(n.Client.Create(ctx, node)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) error { return client.IgnoreNotFound(n.Client.Delete(ctx, node)) }, NodeTimeout(short))
	return node
}

// SeemsToRun writes the status of a pod that no kubelet knows as if it ran like
// another one, at its address.
func (n *Namespace) SeemsToRun(ctx context.Context, pod string, like *corev1.Pod) {
	GinkgoHelper()
	Expect(ConditionOf(like, corev1.PodReady).Status).To(Equal(corev1.ConditionTrue))
	Eventually(func() error {
		p := Get(ctx, n, pod, &corev1.Pod{})
		status := like.Status.DeepCopy()
		status.Conditions = slices.Concat(p.Status.Conditions, []corev1.PodCondition{ConditionOf(like, corev1.PodReady), ConditionOf(like, corev1.ContainersReady)})
		p.Status = *status
		return n.Client.Status().Update(ctx, p)
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
	n.AwaitPod(ctx, pod, func(g Gomega, p *corev1.Pod) {
		g.Expect(ConditionOf(p, v1alpha1.PodInRotation)).To(HaveField("Status", corev1.ConditionTrue))
	})
}

// CutWebhooks makes the operator's webhooks unreachable until the function that
// it returns is called, or the spec ends: its Service selects nobody, and the
// node forgets the connections that the API server has. For specs labelled "node".
func (e *Env) CutWebhooks(ctx context.Context) (mend func(context.Context)) {
	GinkgoHelper()
	ns := e.operator()
	set := func(ctx context.Context, value string) {
		GinkgoHelper()
		Change(ctx, ns, webhookService, &corev1.Service{}, func(s *corev1.Service) {
			delete(s.Spec.Selector, "drain-operator.dev/nobody")
			if value != "" {
				s.Spec.Selector["drain-operator.dev/nobody"] = value
			}
		})
	}
	mend = func(ctx context.Context) { GinkgoHelper(); set(ctx, "") }
	set(ctx, "yes")
	address := Get(ctx, ns, webhookService, &corev1.Service{}).Spec.ClusterIP
	Eventually(func() string { // its rules follow the Service
		return OnNode(ctx, "sh", "-c", `conntrack -D --orig-dst "$0" 2>/dev/null; nft list ruleset | grep -c "$0.*no-endpoints\|no-endpoints.*$0\|$0.*reject" || true`, address)
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).ShouldNot(HavePrefix("0"))
	DeferCleanup(func(ctx SpecContext) { mend(ctx) }, NodeTimeout(short))
	return mend
}

// Since is how long ago something was, for reports.
func Since(at time.Time) time.Duration { return time.Since(at).Round(time.Millisecond) }
