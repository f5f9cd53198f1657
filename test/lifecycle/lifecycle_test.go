// Package lifecycle installs, upgrades, rolls back and uninstalls the operator
// with helm on a real cluster, while pods drain. It needs a cluster without the
// operator: `make test-lifecycle`.
package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/tool"
)

const (
	namespace = "drain-operator-system"
	chart     = "../../dist/chart/drain-operator" // as make chart writes it, images included
)

var env *framework.Env

func TestLifecycle(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "life of a release on a real cluster")
}

var _ = BeforeSuite(func() {
	var err error
	env, err = framework.Connect()
	Expect(err).NotTo(HaveOccurred())
})

var _ = It("is installed, upgraded, rolled back and uninstalled while pods drain", func(ctx SpecContext) {
	operatorNamespaceFor(ctx)

	By("installing an older chart")
	helm(ctx, "install", "drain-operator", olderChart(), "--wait", "--timeout=3m")
	Expect(helm(ctx, "test", "drain-operator")).To(ContainSubstring("Succeeded"))

	ns := env.NewNamespace(ctx, nil)
	ns.Apply(ctx, framework.Policy("web").HTTP(v1alpha1.DrainedWhenBody).Notify())
	ns.AwaitCondition(ctx, "web", v1alpha1.ConditionReady, metav1.ConditionTrue)
	ns.Deploy(ctx, framework.Pod("web").Status("ok").Deployment(3))
	traffic := ns.StartLoad(ctx, framework.Steady(ns.Service(ctx, "web", framework.WorkPort), 20))
	traffic.AwaitRequests(ctx, 50)
	drains := ns.WatchDrains(ctx, "web")

	By("upgrading, the CRD included")
	Expect(columns(ctx)).NotTo(ContainElement("Reason"))
	whilePodsDrain(ctx, ns, drains, 3, "upgrade", "drain-operator", chart, "--set", "log.level=debug", "--wait", "--timeout=3m")
	expectAllInjected(ctx, ns)
	Expect(columns(ctx)).To(ContainElement("Reason"))

	By("rolling back, the CRD included")
	whilePodsDrain(ctx, ns, drains, 6, "rollback", "drain-operator", "1", "--wait", "--timeout=3m")
	expectAllInjected(ctx, ns)
	Expect(columns(ctx)).NotTo(ContainElement("Reason"))
	Expect(helm(ctx, "test", "drain-operator")).To(ContainSubstring("Succeeded"))

	By("uninstalling while a pod's deletion is held, too")
	ns.Apply(ctx, framework.Policy("held").Propagation(1, 3).HoldDeletion(300))
	ns.Run(ctx, framework.Pod("held").Status("ok").Grace(60))
	ns.Run(ctx, framework.Pod("stays").Label("app", "held").Status("ok"))
	ns.AwaitHolding(ctx, "held", "held")
	session := ns.Session(ctx, "held", 40*time.Second)
	held := ns.WatchDrains(ctx, "held")
	ns.DeleteHeld(ctx, "held")
	whilePodsDrain(ctx, ns, drains, 9, "uninstall", "drain-operator", "--wait", "--timeout=3m")
	session.ExpectWhole(ctx) // let go, it is held by its hook
	held.AwaitEnd(ctx).App().ExpectDrained()
	stays := framework.Get(ctx, ns, "stays", &corev1.Pod{})
	Expect(framework.Gated(stays)).To(BeTrue())
	Expect(framework.Ready(stays)).To(BeTrue(), "%v", stays.Status.Conditions)
	for _, d := range drains.Ended() {
		d.App().ExpectDrained()
	}
	framework.ExpectNothingDropped(traffic.Finish(ctx), 500)
	Eventually(leftovers).WithContext(ctx).WithTimeout(time.Minute).WithPolling(time.Second).Should(BeEmpty())

	By("going on without it")
	Expect(columns(ctx)).NotTo(BeEmpty())
	after := ns.Run(ctx, framework.Pod("after"))
	Expect(framework.Injected(after)).To(BeFalse())
	policy := framework.Get(ctx, ns, "web", &v1alpha1.DrainPolicy{})
	Expect(policy.Finalizers).To(BeEmpty())
	ns.Delete(ctx, policy)
}, SpecTimeout(15*time.Minute))

// operatorNamespaceFor makes the operator's namespace, for as long as the spec.
func operatorNamespaceFor(ctx context.Context) {
	GinkgoHelper()
	made := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: namespace, Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	Expect(env.Client.Create(ctx, made)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(env.Client.Delete(ctx, made)).To(Succeed())
		Eventually(func() error { return env.Client.Get(ctx, client.ObjectKeyFromObject(made), made) }).
			WithContext(ctx).WithTimeout(time.Minute).Should(Satisfy(apierrors.IsNotFound))
	}, NodeTimeout(90*time.Second))
}

// whilePodsDrain runs helm while the pods of the Deployment "web" are replaced,
// and waits until as many have ended in all.
func whilePodsDrain(ctx context.Context, ns *framework.Namespace, drains *framework.Drains, ended int, args ...string) {
	GinkgoHelper()
	var deployment appsv1.Deployment
	framework.Change(ctx, ns, "web", &deployment, func(d *appsv1.Deployment) {
		metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, "restarted-for", args[0])
	})
	drains.AwaitDraining(ctx, ended-2)
	began := time.Now()
	helm(ctx, args...)
	AddReportEntry("helm "+args[0], fmt.Sprintf("%s, %d pods still draining", time.Since(began).Round(time.Millisecond), len(drains.Draining())))
	ns.AwaitRollout(ctx, "web")
	drains.AwaitEnds(ctx, ended)
}

func expectAllInjected(ctx context.Context, ns *framework.Namespace) {
	GinkgoHelper()
	for _, pod := range ns.Pods(ctx, "web") {
		Expect(framework.Injected(&pod)).To(BeTrue(), "%s was created while the operator's replicas were replaced", pod.Name)
	}
}

// helm runs helm in the operator's namespace and returns what it prints.
func helm(ctx context.Context, args ...string) string {
	GinkgoHelper()
	path, err := tool.Path(ctx, "helm")
	Expect(err).NotTo(HaveOccurred())
	output, err := exec.CommandContext(ctx, path, append(args, "--namespace", namespace)...).CombinedOutput()
	if err != nil {
		GinkgoWriter.Println(env.OperatorLogs(ctx, time.Now().Add(-5*time.Minute)))
	}
	Expect(err).NotTo(HaveOccurred(), "%s", output)
	return string(output)
}

// olderChart is the chart as it was when its CRD had a column less.
func olderChart() string {
	GinkgoHelper()
	folder := filepath.Join(GinkgoT().TempDir(), "drain-operator")
	Expect(os.CopyFS(folder, os.DirFS(chart))).To(Succeed())
	path := filepath.Join(folder, "files", "crd", "drain-operator.dev_drainpolicies.yaml")
	manifest, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	const column = "    - jsonPath: .status.conditions[?(@.type==\"Ready\")].reason\n      name: Reason\n      priority: 1\n      type: string\n"
	older := strings.Replace(string(manifest), column, "", 1)
	Expect(older).NotTo(Equal(string(manifest)))
	Expect(os.WriteFile(path, []byte(older), 0o600)).To(Succeed())
	return folder
}

// columns that kubectl prints of a policy.
func columns(ctx context.Context) []string {
	GinkgoHelper()
	output, err := env.Kubectl(ctx, "get", "crd", "drainpolicies.drain-operator.dev",
		"-o", "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}")
	Expect(err).NotTo(HaveOccurred(), output)
	return strings.Fields(output)
}

// leftovers are what an uninstall has not removed, policies and their CRD aside.
func leftovers(ctx context.Context) ([]string, error) {
	mine := client.MatchingLabels{"app.kubernetes.io/name": "drain-operator"}
	inside := client.InNamespace(namespace)
	var left []string
	for _, which := range []struct {
		list client.ObjectList
		opts []client.ListOption
	}{
		{&admissionv1.MutatingWebhookConfigurationList{}, []client.ListOption{mine}},
		{&rbacv1.ClusterRoleList{}, []client.ListOption{client.MatchingLabels{"app.kubernetes.io/part-of": "drain-operator"}}},
		{&rbacv1.ClusterRoleBindingList{}, []client.ListOption{client.MatchingLabels{"app.kubernetes.io/part-of": "drain-operator"}}},
		{&corev1.PodList{}, []client.ListOption{inside}},
		{&corev1.SecretList{}, []client.ListOption{inside}},
		{&corev1.ServiceList{}, []client.ListOption{inside}},
		{&coordinationv1.LeaseList{}, []client.ListOption{inside}},
		{&rbacv1.RoleList{}, []client.ListOption{inside}},
		{&rbacv1.RoleBindingList{}, []client.ListOption{inside}},
	} {
		if err := env.Client.List(ctx, which.list, which.opts...); err != nil {
			return nil, err
		}
		err := meta.EachListItem(which.list, func(item runtime.Object) error {
			left = append(left, fmt.Sprintf("%T %s", item, item.(client.Object).GetName()))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return left, nil
}
