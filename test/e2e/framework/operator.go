package framework

import (
	"context"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names that config/ gives the operator.
const (
	operatorNamespace = "drain-operator-system"
	operatorName      = "drain-operator"
	operatorLease     = "drain-operator"
	webhookService    = "drain-operator-webhook"
	sourcesSecret     = "drain-operator-latency-sources"
	sourcesMount      = "/etc/drain-operator/latency-sources"
)

// sourcesKey is the file in that mount.
const sourcesKey = "sources.yaml"

// operator is the namespace of the operator, with the verbs of any other.
func (e *Env) operator() *Namespace { return &Namespace{Env: e, Name: operatorNamespace} }

// AwaitOperator waits until all replicas of the operator are ready and one leads.
func (e *Env) AwaitOperator(ctx context.Context) {
	GinkgoHelper()
	e.operator().AwaitRollout(ctx, operatorName)
	e.Leader(ctx)
}

// Leader waits until a replica of the operator leads and returns its pod.
func (e *Env) Leader(ctx context.Context) *corev1.Pod {
	GinkgoHelper()
	var leader *corev1.Pod
	Eventually(func(g Gomega) {
		holder := e.LeaderIdentity(ctx)
		pods := e.operatorPods(ctx)
		at := slices.IndexFunc(pods, func(p corev1.Pod) bool { return strings.HasPrefix(holder, p.Name+"_") })
		g.Expect(at).NotTo(Equal(-1), "%q holds the lease and is no replica of the operator", holder)
		leader = &pods[at]
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
	return leader
}

func (e *Env) operatorPods(ctx context.Context) []corev1.Pod {
	var pods corev1.PodList
	_ = e.Client.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": operatorName})
	return slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// WithoutOperator scales the operator to zero until the spec ends, or until the
// function that it returns is called.
func (e *Env) WithoutOperator(ctx context.Context) (start func(context.Context)) {
	GinkgoHelper()
	ns := e.operator()
	before := Get(ctx, ns, operatorName, &appsv1.Deployment{})
	start = func(ctx context.Context) {
		GinkgoHelper()
		ns.Scale(ctx, operatorName, *before.Spec.Replicas)
		e.AwaitOperator(ctx)
	}
	DeferCleanup(start, NodeTimeout(long))
	ns.Scale(ctx, operatorName, 0)
	e.awaitOldReplicasGone(ctx) // they answer the webhook until their end
	return start
}

// OperatorFlags starts the operator with further flags, which win over those
// that it has, until the spec or container of specs ends.
func (e *Env) OperatorFlags(ctx context.Context, flags ...string) {
	GinkgoHelper()
	before := e.operatorArgs(ctx)
	DeferCleanup(func(ctx SpecContext) { e.restartOperator(ctx, before) }, NodeTimeout(long))
	e.restartOperator(ctx, slices.Concat(before, flags))
}

// LatencySources starts the operator with these sources of latency and further
// flags, until the suite ends. Whether the operator gets its old ones back then
// is not waited for.
func (e *Env) LatencySources(ctx context.Context, sources string, flags ...string) {
	GinkgoHelper()
	before := e.operatorArgs(ctx)
	DeferCleanup(func(ctx SpecContext) error {
		e.setOperatorArgs(ctx, before)
		return e.removeSources(ctx)
	}, NodeTimeout(long))
	e.operator().Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: sourcesSecret, Labels: map[string]string{labelSuite: "true"}},
		StringData: map[string]string{sourcesKey: sources},
	})
	e.restartOperator(ctx, slices.Concat(before, []string{"--latency-sources=" + sourcesMount + "/" + sourcesKey}, flags))
}

// removeSources removes the Secret that LatencySources made.
func (e *Env) removeSources(ctx context.Context) error {
	return e.Client.DeleteAllOf(ctx, &corev1.Secret{}, client.InNamespace(operatorNamespace), client.HasLabels{labelSuite})
}

func (e *Env) operatorArgs(ctx context.Context) []string {
	GinkgoHelper()
	return Get(ctx, e.operator(), operatorName, &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Args
}

func (e *Env) setOperatorArgs(ctx context.Context, args []string) {
	GinkgoHelper()
	Change(ctx, e.operator(), operatorName, &appsv1.Deployment{}, func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Args = args
	})
}

// restartOperator returns when only replicas with these flags are left.
func (e *Env) restartOperator(ctx context.Context, args []string) {
	GinkgoHelper()
	e.setOperatorArgs(ctx, args)
	e.AwaitOperator(ctx)
	e.awaitOldReplicasGone(ctx)
	e.Leader(ctx) // not one of the old
}

// awaitOldReplicasGone waits until no replica of an earlier configuration
// answers the webhook any more.
func (e *Env) awaitOldReplicasGone(ctx context.Context) {
	GinkgoHelper()
	d := Get(ctx, e.operator(), operatorName, &appsv1.Deployment{})
	Eventually(func(g Gomega) {
		var pods corev1.PodList
		g.Expect(e.Client.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": operatorName})).To(Succeed())
		g.Expect(pods.Items).To(HaveLen(int(*d.Spec.Replicas)))
	}).WithContext(ctx).WithTimeout(long).WithPolling(glance).Should(Succeed())
}

// KillOnNode kills the first container of a pod with SIGKILL, from outside.
func KillOnNode(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	SignalOnNode(ctx, pod, "KILL")
}

// SignalOnNode sends the first container of a pod a signal, from outside.
func SignalOnNode(ctx context.Context, pod *corev1.Pod, signal string) {
	GinkgoHelper()
	_, id, _ := strings.Cut(pod.Status.ContainerStatuses[0].ContainerID, "://")
	Expect(id).NotTo(BeEmpty())
	OnNode(ctx, "sh", "-c", `for f in $(grep -l "$0" /proc/[0-9]*/cgroup); do kill -s "$1" "$(basename "$(dirname "$f")")"; done`, id, signal)
}

// KillOperator kills all replicas with SIGKILL, from outside, and returns them.
func (e *Env) KillOperator(ctx context.Context) (pods []corev1.Pod) {
	GinkgoHelper()
	pods = e.operatorPods(ctx)
	Expect(pods).NotTo(BeEmpty())
	for i := range pods {
		KillOnNode(ctx, &pods[i])
	}
	return pods
}

// AwaitRestarted waits until the first container of one of the operator's pods
// was started again, and all replicas are ready.
func (e *Env) AwaitRestarted(ctx context.Context, pod *corev1.Pod) {
	GinkgoHelper()
	e.operator().AwaitPod(ctx, pod.Name, func(g Gomega, p *corev1.Pod) {
		g.Expect(p.Status.ContainerStatuses[0].RestartCount).To(BeNumerically(">", pod.Status.ContainerStatuses[0].RestartCount))
	})
	e.AwaitOperator(ctx)
}

// AwaitNewLeader waits until somebody else leads.
func (e *Env) AwaitNewLeader(ctx context.Context, was string) time.Duration {
	GinkgoHelper()
	began := time.Now()
	Eventually(func() string { return e.LeaderIdentity(ctx) }).WithContext(ctx).WithTimeout(long).WithPolling(glance).ShouldNot(Or(BeEmpty(), Equal(was)))
	return time.Since(began)
}

// LeaderIdentity is who holds the lease, empty when nobody does.
func (e *Env) LeaderIdentity(ctx context.Context) string {
	GinkgoHelper()
	var lease coordinationv1.Lease
	err := e.Client.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operatorLease}, &lease)
	Expect(client.IgnoreNotFound(err)).To(Succeed())
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}
