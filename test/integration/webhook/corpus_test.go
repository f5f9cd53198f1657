package webhook

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/test/corpus"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

// levels of the Pod Security Standards, strictest first.
var levels = []string{"restricted", "baseline", "privileged"}

// Real pods of public projects, as the API server creates them with and
// without injection, each under the strictest level that it is valid under.
// Serial: the node decides the delivery for everybody.
var _ = Describe("The corpus", Serial, func() {
	cases, err := corpus.Load()
	if err != nil || len(cases) == 0 {
		panic(fmt.Sprintf("reading the corpus: %d pods, %v", len(cases), err))
	}

	for _, delivery := range []plan.Delivery{plan.InitContainer, plan.ImageVolume} {
		Context("by "+string(delivery), Ordered, ContinueOnFailure, func() {
			var plain, covered map[string]string // namespaces by level
			var policies map[string]*v1alpha1.DrainPolicy

			BeforeAll(func(ctx context.Context) {
				if delivery == plan.ImageVolume {
					node(ctx, "v1.36.3", "containerd://2.3.7")
				}
				plain, covered, policies = map[string]string{}, map[string]string{}, map[string]*v1alpha1.DrainPolicy{}
				for _, level := range levels {
					enforce := map[string]string{"pod-security.kubernetes.io/enforce": level}
					plain[level], covered[level] = shared.namespace(ctx, enforce), shared.namespace(ctx, enforce)
					policies[level] = shared.policy(ctx, covered[level], "all", func(s *v1alpha1.DrainPolicySpec) {
						s.Selector = &metav1.LabelSelector{}
					})
					eventuallyDelivers(ctx, covered[level], delivery)
				}
			})

			for _, c := range cases {
				It(c.Name, func(ctx context.Context) {
					before, level := strictest(ctx, c.Pod, plain)
					after, err := dryRun(ctx, c.Pod, covered[level])
					Expect(err).NotTo(HaveOccurred(), "valid under %s before", level)

					options := plan.Options{AgentImage: framework.AgentImage, Delivery: delivery, OperatorNamespace: framework.OperatorNamespace}
					if _, excluded := plan.Exclude(before, before.Namespace, options); excluded {
						Expect(after.Spec).To(Equal(before.Spec))
						Expect(after.Labels).To(Equal(before.Labels))
						Expect(after.Annotations).To(Equal(before.Annotations))
						return
					}
					p := plan.Build(policies[level], before, options)
					before.Namespace = after.Namespace
					Expect(corpus.CheckOnlyPlanned(before, after, p)).To(Succeed())
					Expect(after.Status.QOSClass).To(Equal(before.Status.QOSClass))

					again, err := dryRun(ctx, after, covered[level])
					Expect(err).NotTo(HaveOccurred())
					Expect(again.Spec).To(Equal(after.Spec))
					Expect(again.Labels).To(Equal(after.Labels))
					Expect(again.Annotations).To(Equal(after.Annotations))
				})
			}
		})
	}
})

// strictest creates the pod under the strictest level that it is valid under.
func strictest(ctx context.Context, pod *corev1.Pod, namespaces map[string]string) (*corev1.Pod, string) {
	GinkgoHelper()
	var err error
	for _, level := range levels {
		var created *corev1.Pod
		if created, err = dryRun(ctx, pod, namespaces[level]); err == nil {
			return created, level
		}
	}
	Expect(err).NotTo(HaveOccurred(), "the pod is valid somewhere")
	return nil, ""
}

// dryRun creates a copy of the pod in a namespace, without keeping it.
func dryRun(ctx context.Context, pod *corev1.Pod, namespace string) (*corev1.Pod, error) {
	created := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: pod.Name, GenerateName: pod.GenerateName, OwnerReferences: pod.OwnerReferences,
			Labels: pod.Labels, Annotations: pod.Annotations,
		},
		Spec: *pod.Spec.DeepCopy(),
	}
	if created.Spec.ServiceAccountName == "" { // which here no admission plugin fills in
		created.Spec.ServiceAccountName = "default"
	}
	err := shared.Client.Create(ctx, created, client.DryRunAll)
	return created, err
}

// node registers a node of that software until the end of the container.
func node(ctx context.Context, kubelet, runtime string) {
	GinkgoHelper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}
	Expect(shared.Client.Create(ctx, n)).To(Succeed())
	DeferCleanup(func(ctx context.Context) { Expect(shared.Client.Delete(ctx, n)).To(Succeed()) })
	n.Status.NodeInfo.OperatingSystem = "linux"
	n.Status.NodeInfo.KubeletVersion = kubelet
	n.Status.NodeInfo.ContainerRuntimeVersion = runtime
	Expect(shared.Client.Status().Update(ctx, n)).To(Succeed())
}

func eventuallyDelivers(ctx context.Context, namespace string, delivery plan.Delivery) {
	GinkgoHelper()
	Eventually(func() (plan.Delivery, error) {
		pod, err := dryRun(ctx, webPod(namespace), namespace)
		switch {
		case err != nil:
			return "", err
		case len(pod.Spec.InitContainers) > 0:
			return plan.InitContainer, nil
		case len(pod.Spec.Volumes) > 0 && pod.Spec.Volumes[len(pod.Spec.Volumes)-1].Image != nil:
			return plan.ImageVolume, nil
		}
		return "", nil
	}).Should(Equal(delivery))
}
