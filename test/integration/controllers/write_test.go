package controllers_test

import (
	"context"
	"net/http"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/write"
)

// barePod is one that nobody runs.
func barePod(ctx context.Context, namespace, name string) *corev1.Pod {
	GinkgoHelper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			NodeName: "nowhere", TerminationGracePeriodSeconds: ptr.To[int64](20),
			Containers: []corev1.Container{{Name: "app", Image: "registry.example.com/app"}},
		},
	}
	Expect(api.Create(ctx, pod)).To(Succeed())
	return pod
}

// replaced is a pod that is gone, and whose name another one has.
func replaced(ctx context.Context, namespace string) (gone, other *corev1.Pod) {
	GinkgoHelper()
	gone = barePod(ctx, namespace, "replaced")
	Expect(api.Delete(ctx, gone, client.GracePeriodSeconds(0))).To(Succeed())
	return gone, barePod(ctx, namespace, "replaced")
}

func asItIs(ctx context.Context, pod *corev1.Pod) *corev1.Pod {
	GinkgoHelper()
	now := &corev1.Pod{}
	Expect(api.Get(ctx, client.ObjectKeyFromObject(pod), now)).To(Succeed())
	return now
}

var _ = Describe("writing to pods", func() {
	var (
		writer    write.Pods
		asKnown   write.Pods
		namespace string
		calls     *recorded
	)
	BeforeEach(func(ctx SpecContext) {
		calls = &recorded{}
		connection := rest.CopyConfig(cluster)
		connection.Wrap(calls.wrap)
		c, err := corev1client.NewForConfig(connection)
		Expect(err).NotTo(HaveOccurred())
		writer, asKnown, namespace = write.New(c), write.AsKnown(c), newNamespace(ctx)
	})

	It("sets its conditions and leaves the others", func(ctx SpecContext) {
		pod := barePod(ctx, namespace, "a")
		kubelets := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
		pod.Status.Conditions = []corev1.PodCondition{kubelets}
		Expect(api.Status().Update(ctx, pod)).To(Succeed())
		stale := pod.DeepCopy()
		stale.ResourceVersion, stale.Status.Conditions = "1", nil

		since := metav1.NewTime(time.Now().Truncate(time.Second))
		wish := corev1.PodCondition{
			Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: "Delete",
			Message: `{"by":"somebody"}`, LastProbeTime: since, LastTransitionTime: since,
		}
		out := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, LastTransitionTime: since}
		Expect(writer.SetConditions(ctx, stale, []corev1.PodCondition{wish, out})).To(Succeed())
		in := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, LastTransitionTime: since}
		Expect(writer.SetConditions(ctx, stale, []corev1.PodCondition{in})).To(Succeed())

		byType := cmpopts.SortSlices(func(a, b corev1.PodCondition) bool { return a.Type < b.Type })
		Expect(cmp.Diff([]corev1.PodCondition{kubelets, wish, in}, asItIs(ctx, pod).Status.Conditions, byType)).To(BeEmpty())
		Expect(calls.made()).To(HaveLen(2), "one call for each write")
	})

	It("writes nothing where there is nothing to write", func(ctx SpecContext) {
		Expect(writer.SetConditions(ctx, barePod(ctx, namespace, "a"), nil)).To(Succeed())
		Expect(calls.made()).To(BeEmpty())
	})

	It("does not touch another pod of that name", func(ctx SpecContext) {
		gone, other := replaced(ctx, namespace)
		out := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse}
		Expect(writer.SetConditions(ctx, gone, []corev1.PodCondition{out})).To(Succeed())
		Expect(writer.Release(ctx, gone, drain.Release{Kind: drain.Delete})).To(Succeed())
		Expect(writer.Release(ctx, gone, drain.Release{Kind: drain.Evict})).To(Succeed())
		Expect(cmp.Diff(other, asItIs(ctx, other))).To(BeEmpty())
	})

	It("finds that a pod is gone", func(ctx SpecContext) {
		gone := barePod(ctx, namespace, "gone")
		Expect(api.Delete(ctx, gone, client.GracePeriodSeconds(0))).To(Succeed())
		out := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse}
		Expect(writer.SetConditions(ctx, gone, []corev1.PodCondition{out})).To(Succeed())
		Expect(writer.Release(ctx, gone, drain.Release{Kind: drain.Delete})).To(Succeed())
		Expect(writer.Release(ctx, gone, drain.Release{Kind: drain.Evict})).To(Succeed())
	})

	It("says what the API server does not take", func(ctx SpecContext) {
		pod := barePod(ctx, namespace, "a")
		err := writer.SetConditions(ctx, pod, []corev1.PodCondition{{Type: "not a type!", Status: corev1.ConditionTrue}})
		Expect(apierrors.IsInvalid(err)).To(BeTrue(), "%v", err)
	})

	DescribeTable("asks for the pod's end",
		func(ctx SpecContext, release drain.Release, grace int64) {
			pod := barePod(ctx, namespace, "a")
			Expect(writer.Release(ctx, pod, release)).To(Succeed())
			now := asItIs(ctx, pod)
			Expect(now.DeletionTimestamp).NotTo(BeNil())
			Expect(now.DeletionGracePeriodSeconds).To(HaveValue(Equal(grace)))
		},
		Entry("by a deletion", drain.Release{Kind: drain.Delete}, int64(20)),
		Entry("by a deletion with a grace", drain.Release{Kind: drain.Delete, GraceSeconds: ptr.To[int64](7)}, int64(7)),
		Entry("by an eviction", drain.Release{Kind: drain.Evict}, int64(20)),
		Entry("by an eviction with a grace", drain.Release{Kind: drain.Evict, GraceSeconds: ptr.To[int64](77)}, int64(77)),
	)

	DescribeTable("says at once that a budget refuses an eviction",
		func(ctx SpecContext, observed bool) {
			pod := barePod(ctx, namespace, "a")
			pod.Status.Phase = corev1.PodRunning
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			Expect(api.Status().Update(ctx, pod)).To(Succeed())
			budget := &policyv1.PodDisruptionBudget{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "all"},
				Spec: policyv1.PodDisruptionBudgetSpec{
					MinAvailable: ptr.To(intstr.FromInt32(1)),
					Selector:     &metav1.LabelSelector{MatchLabels: pod.Labels},
				},
			}
			Expect(api.Create(ctx, budget)).To(Succeed())
			if observed { // else the API server asks to come back in 10 s
				budget.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DesiredHealthy: 1, CurrentHealthy: 1, ExpectedPods: 1}
				Expect(api.Status().Update(ctx, budget)).To(Succeed())
			}
			err := writer.Release(ctx, pod, drain.Release{Kind: drain.Evict})
			Expect(apierrors.IsTooManyRequests(err)).To(BeTrue(), "%v", err)
			Expect(calls.made()).To(HaveLen(1))
			Expect(asItIs(ctx, pod).DeletionTimestamp).To(BeNil())
		},
		Entry("that is spent", true),
		Entry("that nobody has looked at yet", false),
	)

	// What somebody wrote since is for example that the pod is held once more.
	DescribeTable("writes only to the pod as it was known, where that is asked for",
		func(ctx SpecContext, write func(context.Context, *corev1.Pod) error, done func(*corev1.Pod) bool) {
			known := barePod(ctx, namespace, "a")
			changed := known.DeepCopy()
			metav1.SetMetaDataAnnotation(&changed.ObjectMeta, "example.com/since", "yes")
			Expect(api.Update(ctx, changed)).To(Succeed())

			err := write(ctx, known)
			Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
			Expect(cmp.Diff(changed, asItIs(ctx, changed))).To(BeEmpty())
			Expect(calls.made()).To(HaveLen(2), "one for the write, one to see whether the pod is gone")

			Expect(write(ctx, changed)).To(Succeed())
			Expect(done(asItIs(ctx, changed))).To(BeTrue())
		},
		Entry("conditions", func(ctx context.Context, pod *corev1.Pod) error {
			return asKnown.SetConditions(ctx, pod, []corev1.PodCondition{{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue}})
		}, func(pod *corev1.Pod) bool { return len(pod.Status.Conditions) == 1 }),
		Entry("a deletion", func(ctx context.Context, pod *corev1.Pod) error {
			return asKnown.Release(ctx, pod, drain.Release{Kind: drain.Delete})
		}, terminates),
		Entry("an eviction", func(ctx context.Context, pod *corev1.Pod) error {
			return asKnown.Release(ctx, pod, drain.Release{Kind: drain.Evict})
		}, terminates),
	)

	It("leaves another pod of that name, asked so, too", func(ctx SpecContext) {
		gone, other := replaced(ctx, namespace)
		out := corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse}
		Expect(asKnown.SetConditions(ctx, gone, []corev1.PodCondition{out})).To(Succeed())
		Expect(asKnown.Release(ctx, gone, drain.Release{Kind: drain.Delete})).To(Succeed())
		Expect(asKnown.Release(ctx, gone, drain.Release{Kind: drain.Evict})).To(Succeed())
		Expect(cmp.Diff(other, asItIs(ctx, other))).To(BeEmpty())
	})
})

func terminates(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

// recorded are the calls that one client made.
type recorded struct{ requests []*http.Request }

func (r *recorded) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		r.requests = append(r.requests, request)
		return next.RoundTrip(request)
	})
}

func (r *recorded) made() []*http.Request { return r.requests }
