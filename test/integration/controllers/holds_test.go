package controllers_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// sessions is the drain-status endpoint of a workload.
type sessions struct {
	mu     sync.Mutex
	status string
	told   []string
}

func (s *sessions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		s.told = append(s.told, string(body))
		return
	}
	if s.status == "" {
		w.WriteHeader(http.StatusInternalServerError)
	}
	_, _ = io.WriteString(w, s.status)
}

func (s *sessions) set(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *sessions) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.told...)
}

// setConditions does what kubelets and webhooks do.
func setConditions(ctx context.Context, pod *corev1.Pod, conditions ...corev1.PodCondition) {
	GinkgoHelper()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": conditions}})
	Expect(err).NotTo(HaveOccurred())
	Expect(api.Status().Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, patch))).To(Succeed())
}

var _ = Describe("Under hold Deletion", func() {
	const (
		busy    = `{"version":1,"inFlight":2}`
		drained = `{"version":1,"inFlight":0}`
	)
	var (
		namespace string
		endpoint  *sessions
		web       *v1alpha1.DrainPolicy
		pod       *corev1.Pod
	)
	BeforeEach(func(ctx SpecContext) {
		namespace, endpoint = newNamespace(ctx), &sessions{status: busy}
		server := httptest.NewServer(endpoint)
		DeferCleanup(server.Close)
		at := netip.MustParseAddrPort(server.Listener.Addr().String())
		port := intstr.FromInt32(int32(at.Port()))
		web = &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
			Spec: v1alpha1.DrainPolicySpec{
				Selector:    &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
				DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{Port: port}},
				PreStop:     v1alpha1.PreStop{PropagationSeconds: ptr.To[int32](0), Notify: &v1alpha1.Notify{Port: port}},
				Gate:        v1alpha1.Gate{Hold: v1alpha1.HoldDeletion},
			},
		}
		Expect(api.Create(ctx, web)).To(Succeed())
		pod = gatedPod(ctx, namespace, at.Addr().String())
	})

	It("knows whether it can read the drain status before it holds a pod", func(ctx SpecContext) {
		lead(ctx, namespace)
		Eventually(statusOf(ctx, web)).WithTimeout(3 * soon).Should(haveCondition(v1alpha1.ConditionDrainStatusReachable, metav1.ConditionTrue, v1alpha1.ReasonStatusAnswered))
	})

	It("names the Deployments that give rollouts too little time", func(ctx SpecContext) {
		lead(ctx, namespace)
		labels := map[string]string{"app": "web"}
		Expect(api.Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "hasty"},
			Spec: appsv1.DeploymentSpec{
				ProgressDeadlineSeconds: ptr.To[int32](60), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{
					ObjectMeta: metav1.ObjectMeta{Labels: labels},
					Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
				},
			},
		})).To(Succeed())
		Eventually(func(g Gomega) { // the Deployments may have been listed a moment ago
			Expect(api.Get(ctx, client.ObjectKeyFromObject(web), web)).To(Succeed())
			patch := client.MergeFrom(web.DeepCopy())
			web.Spec.Gate.MaxHoldSeconds++
			Expect(api.Patch(ctx, web, patch)).To(Succeed())
			g.Eventually(statusOf(ctx, web)).WithTimeout(2 * time.Second).Should(HaveField("Conditions", ContainElement(And(
				HaveField("Reason", v1alpha1.ReasonOverProgressDeadline), HaveField("Message", ContainSubstring("hasty is 60")),
			))))
		}).WithTimeout(3 * soon).Should(Succeed())
	})

	It("says who is held, tells the workload, and lets the pod go once drained", func(ctx SpecContext) {
		lead(ctx, namespace)
		since := metav1.NewTime(time.Now().Truncate(time.Second))
		setConditions(ctx, pod, drain.Wish{Kind: drain.Delete, By: "somebody", Since: since.Time, LastAsked: since.Time}.Condition())
		Eventually(func() []corev1.PodCondition { return asItIs(ctx, pod).Status.Conditions }).WithTimeout(soon).
			Should(ContainElement(And(HaveField("Type", corev1.PodConditionType(v1alpha1.PodInRotation)), HaveField("Status", corev1.ConditionFalse))))
		// The kubelet's part: a patch, while the operator writes conditions, too.
		setConditions(ctx, pod, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.Now()})
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(
			HaveField("Held", int32(1)),
			HaveField("HeldPods", HaveExactElements(And(
				HaveField("Name", pod.Name), HaveField("WaitingFor", v1alpha1.WaitingForRequests),
				HaveField("Since.Time", BeTemporally("==", since.Time)), HaveField("Until.Time", BeTemporally("==", since.Add(540*time.Second))),
			))),
		))
		Eventually(endpoint.heard).WithTimeout(soon).Should(ContainElement(`{"draining":true}`))
		Expect(asItIs(ctx, pod).DeletionTimestamp).To(BeNil(), "released with requests in flight")

		endpoint.set(drained)
		at := time.Now()
		Eventually(func() *metav1.Time { return asItIs(ctx, pod).DeletionTimestamp }).WithTimeout(soon).WithPolling(20 * time.Millisecond).ShouldNot(BeNil())
		AddReportEntry("from drained to deleted", time.Since(at).String())
		Eventually(statusOf(ctx, web)).WithTimeout(soon).Should(And(HaveField("Held", int32(0)), HaveField("HeldPods", BeEmpty())))
	})
})

// lead starts a leader, for one spec.
func lead(ctx context.Context, namespace string) {
	GinkgoHelper()
	Eventually(startReplica(ctx, namespace).elected).WithTimeout(soon).Should(BeClosed())
}

// gatedPod is one that was injected under hold Deletion, Ready, at an address.
func gatedPod(ctx context.Context, namespace, ip string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: "web-1",
			Labels:      map[string]string{"app": "web", v1alpha1.LabelInjected: "true"},
			Annotations: map[string]string{v1alpha1.AnnotationInjectedBy: "web/1"},
		},
		Spec: corev1.PodSpec{
			NodeName:       "node-1",
			ReadinessGates: []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}},
			Containers:     []corev1.Container{{Name: "app", Image: "example.com/app"}},
		},
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	past := metav1.NewTime(time.Now().Add(-time.Minute))
	later := metav1.NewTime(time.Now().Add(-30 * time.Second))
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &past, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: "192.0.2.1",
		ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: past}}}},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: later},
			{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, LastTransitionTime: past},
		},
	}
	Expect(api.Status().Update(ctx, pod)).To(Succeed())
	return pod
}
