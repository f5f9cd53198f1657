package controllers_test

import (
	"context"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/front"
	"github.com/drain-operator/drain-operator/internal/hold"
)

var _ = Describe("Load balancers in front", func() {
	var namespace string
	var web *v1alpha1.DrainPolicy

	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		web = newPolicy(ctx, namespace)
		injectedPod(ctx, namespace, "web-1")
		createService(ctx, namespace, "web", nil)
	})

	// looksAgain edits the policy until the status is as wanted: what is in
	// front is listed after an edit, or after five minutes.
	looksAgain := func(ctx SpecContext, want gomegatypes.GomegaMatcher) {
		GinkgoHelper()
		Eventually(func(g Gomega) {
			Expect(api.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
			patch := client.MergeFrom(web.DeepCopy())
			web.Spec.GracePeriod.WindowSeconds++
			Expect(api.Patch(ctx, web, patch)).To(Succeed())
			g.Eventually(statusOf(ctx, web)).WithTimeout(2 * time.Second).Should(want)
		}).WithTimeout(3 * soon).Should(Succeed())
	}

	It("are shown with their delay, without the CRD of TargetGroupBindings", func(ctx SpecContext) {
		lead(ctx, namespace)
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(haveCondition(v1alpha1.ConditionFrontsCovered, metav1.ConditionUnknown, v1alpha1.ReasonNoFront))
		Expect(api.Create(ctx, &networkingv1.IngressClass{
			ObjectMeta: metav1.ObjectMeta{Name: "outside-" + namespace}, Spec: networkingv1.IngressClassSpec{Controller: "ingress.k8s.aws/alb"},
		})).To(Succeed())
		shop := &networkingv1.Ingress{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "shop", Annotations: map[string]string{
				"alb.ingress.kubernetes.io/target-group-attributes": "deregistration_delay.timeout_seconds=120",
			}},
			Spec: networkingv1.IngressSpec{
				IngressClassName: ptr.To("outside-" + namespace),
				DefaultBackend:   &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}},
			},
		}
		Expect(api.Create(ctx, shop)).To(Succeed())
		front := v1alpha1.Front{
			Kind: v1alpha1.FrontIngress, Name: "shop", Service: "web", LoadBalancer: v1alpha1.FrontALB, Targets: v1alpha1.FrontTargetsPods,
			DeregistrationDelaySeconds: 120, Declared: true,
		}
		looksAgain(ctx, And(
			HaveField("Fronts", HaveExactElements(front)),
			haveCondition(v1alpha1.ConditionFrontsCovered, metav1.ConditionFalse, v1alpha1.ReasonGraceTooShort),
		))
		Eventually(reasonsOf(ctx, namespace)).WithTimeout(soon).Should(ContainElement(v1alpha1.ReasonGraceTooShort))

		By("declaring a shorter one")
		patch := client.MergeFrom(shop.DeepCopy())
		shop.Annotations["alb.ingress.kubernetes.io/target-group-attributes"] = "deregistration_delay.timeout_seconds=20"
		Expect(api.Patch(ctx, shop, patch)).To(Succeed())
		front.DeregistrationDelaySeconds = 20
		looksAgain(ctx, And(
			HaveField("Fronts", HaveExactElements(front)),
			haveCondition(v1alpha1.ConditionFrontsCovered, metav1.ConditionTrue, v1alpha1.ReasonFrontsInTime),
		))

		By("taking it away")
		Expect(api.Delete(ctx, shop)).To(Succeed())
		looksAgain(ctx, And(
			HaveField("Fronts", BeEmpty()),
			haveCondition(v1alpha1.ConditionFrontsCovered, metav1.ConditionUnknown, v1alpha1.ReasonNoFront),
		))
	}, SpecTimeout(2*time.Minute))

	It("may be NLBs of Services, by default", func(ctx SpecContext) {
		lead(ctx, namespace)
		createService(ctx, namespace, "outside", map[string]string{"service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"})
		looksAgain(ctx, And(
			HaveField("Fronts", HaveExactElements(v1alpha1.Front{
				Kind: v1alpha1.FrontService, Name: "outside", Service: "outside", LoadBalancer: v1alpha1.FrontNLB,
				Targets: v1alpha1.FrontTargetsPods, DeregistrationDelaySeconds: 300,
			})),
			HaveField("Conditions", ContainElement(And(
				HaveField("Reason", v1alpha1.ReasonPropagationTooShort), HaveField("Message", ContainSubstring("300 s by default")),
			))),
		))
	}, SpecTimeout(2*time.Minute))

	It("may be TargetGroupBindings, where there are such", func(ctx SpecContext) {
		crds, err := envtest.InstallCRDs(cluster, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{bindingCRD()}})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(envtest.UninstallCRDs(cluster, envtest.CRDInstallOptions{CRDs: crds})).To(Succeed()) })
		binding := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
			"targetGroupName": "mine", "targetType": "ip", "targetGroupProtocol": "HTTP",
			"serviceRef": map[string]any{"name": "web", "port": int64(80)},
		}}}
		binding.SetGroupVersionKind(front.BindingKinds()[0])
		binding.SetNamespace(namespace)
		binding.SetName("mine")
		binding.SetAnnotations(map[string]string{"alb.ingress.kubernetes.io/target-group-attributes": "deregistration_delay.timeout_seconds=15"})
		Expect(api.Create(ctx, binding)).To(Succeed())
		lead(ctx, namespace)
		Eventually(statusOf(ctx, web)).WithTimeout(2 * soon).Should(And(
			HaveField("Fronts", HaveExactElements(v1alpha1.Front{
				Kind: v1alpha1.FrontTargetGroupBinding, Name: "mine", Service: "web", LoadBalancer: v1alpha1.FrontALB,
				Targets: v1alpha1.FrontTargetsPods, DeregistrationDelaySeconds: 15, Declared: true,
			})),
			haveCondition(v1alpha1.ConditionFrontsCovered, metav1.ConditionTrue, v1alpha1.ReasonFrontsInTime),
		))
	}, SpecTimeout(2*time.Minute))
})

var _ = Describe("Long-lived connections", func() {
	It("are said to be as old as deployments are apart, also by the next leader", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		leader := startReplica(ctx, namespace)
		Eventually(leader.elected).WithTimeout(soon).Should(BeClosed())
		web := newPolicy(ctx, namespace)
		pod := injectedPod(ctx, namespace, "web-1")
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(haveCondition(v1alpha1.ConditionConnectionsYoungEnough, metav1.ConditionUnknown, v1alpha1.ReasonNoneSeen))

		By("deploying twice")
		first := createRevision(ctx, namespace, "web-a")
		Eventually(time.Now).Should(BeTemporally(">", first.Add(time.Second))) // the API's times are whole seconds
		apart := int32(createRevision(ctx, namespace, "web-b").Sub(first) / time.Second)

		By("draining a pod that had connections")
		Expect(api.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		beginDrain(ctx, pod)
		Expect(api.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
		pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			StartedAt: pod.CreationTimestamp, FinishedAt: metav1.Now(),
			Message: hold.Result{Outcome: hold.OutcomeDrained, HeldSeconds: 0.1, OldestSeconds: int64(apart)}.Line(),
		}}
		Expect(api.Status().Update(ctx, pod)).To(Succeed())
		Expect(api.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})).To(Succeed())
		old := And(
			HaveField("RecentDrains", HaveExactElements(HaveField("OldestLongLivedSeconds", HaveValue(Equal(apart))))),
			haveCondition(v1alpha1.ConditionConnectionsYoungEnough, metav1.ConditionFalse, v1alpha1.ReasonAsOldAsDeployments),
		)
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(old)
		Eventually(reasonsOf(ctx, namespace)).WithTimeout(soon).Should(ContainElement(v1alpha1.ReasonAsOldAsDeployments))

		By("killing the leader")
		leader.kill()
		lead(ctx, namespace)
		Expect(api.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
		patch := client.MergeFrom(web.DeepCopy())
		web.Spec.GracePeriod.WindowSeconds++
		Expect(api.Patch(ctx, web, patch)).To(Succeed())
		Eventually(statusOf(ctx, web)).WithTimeout(2 * soon).Should(And(HaveField("ObservedGeneration", int64(2)), old))
	}, SpecTimeout(2*time.Minute))
})

func createService(ctx context.Context, namespace, name string, annotations map[string]string) {
	GinkgoHelper()
	Expect(api.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Annotations: annotations},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
	})).To(Succeed())
}

// createRevision is a ReplicaSet of a Deployment that nobody acts on. It
// returns when it was created.
func createRevision(ctx context.Context, namespace, name string) time.Time {
	GinkgoHelper()
	labels := map[string]string{"app": "web", appsv1.DefaultDeploymentUniqueLabelKey: name}
	revision := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "Deployment", Name: "web", UID: "0d3c9f6e-0000-0000-0000-000000000001", Controller: ptr.To(true),
		}}},
		Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
		}},
	}
	Expect(api.Create(ctx, revision)).To(Succeed())
	return revision.CreationTimestamp.Time
}

// bindingCRD is as much of the AWS Load Balancer Controller's as is looked at.
func bindingCRD() *apiextensionsv1.CustomResourceDefinition {
	kind := front.BindingKinds()[0]
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: "targetgroupbindings." + kind.Group, Annotations: map[string]string{
			apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, a part of one for tests",
		}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: kind.Group, Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind.Kind, ListKind: kind.Kind + "List", Plural: "targetgroupbindings", Singular: "targetgroupbinding"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: kind.Version, Served: true, Storage: true,
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: ptr.To(true),
				}},
			}},
		},
	}
}
