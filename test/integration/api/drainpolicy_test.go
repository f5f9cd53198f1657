// Package api asks a real API server whether the rules of the API are what
// they should be.
package api

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/test/integration/framework"
)

var env *framework.Environment

func TestAPI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "API")
}

var _ = BeforeSuite(func(ctx context.Context) {
	var err error
	env, err = framework.Start(ctx)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(env.Stop()).To(Succeed()) })
})

// Every bound and rule of the API has a file that just keeps it and one that
// just breaks it. The first line of the latter is "# expect: " and the part of
// the API server's answer that names what is wrong.
const expect = "# expect: "

var _ = Describe("A DrainPolicy", func() {
	for _, path := range files("testdata/valid/*.yaml", "../../../config/samples/[a-j]*.yaml", "../../../config/samples/[l-z]*.yaml", "../../../config/samples/servers/*.yaml") {
		It("is accepted: "+filepath.Base(path), func(ctx context.Context) {
			Expect(create(ctx, path)).To(Succeed())
		})
	}
	for _, path := range files("testdata/invalid/*.yaml") {
		It("is refused: "+filepath.Base(path), func(ctx context.Context) {
			content, err := os.ReadFile(path)
			Expect(err).NotTo(HaveOccurred())
			first, _, _ := strings.Cut(string(content), "\n")
			message, found := strings.CutPrefix(first, expect)
			Expect(found).To(BeTrue(), "%s must begin with %q", path, expect)
			Expect(create(ctx, path)).To(MatchError(ContainSubstring(message)))
		})
	}

	It("gets its defaults", func(ctx context.Context) {
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "defaults", Namespace: "default"},
			Spec: v1alpha1.DrainPolicySpec{
				Selector:    &metav1.LabelSelector{},
				DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{Port: intstr.FromString("http")}},
				PreStop:     v1alpha1.PreStop{Notify: &v1alpha1.Notify{Port: intstr.FromString("http")}},
				GracePeriod: v1alpha1.GracePeriod{Latency: &v1alpha1.Latency{
					PodMetrics: &v1alpha1.PodMetricsLatency{Port: intstr.FromString("metrics"), Histogram: "h"},
				}},
			},
		}
		Expect(env.Client.Create(ctx, policy, client.DryRunAll)).To(Succeed())
		Expect(policy.Spec).To(Equal(v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{},
			Mode:     v1alpha1.ModeEnforce,
			DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{
				Port: intstr.FromString("http"), Path: "/drain-status", Scheme: v1alpha1.SchemeHTTP,
				TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: v1alpha1.DrainedWhenBody,
			}},
			PreStop: v1alpha1.PreStop{
				Strategy: v1alpha1.StrategyAgent, ExistingHook: v1alpha1.ExistingHookKeep, ReleaseWhen: v1alpha1.ReleaseWhenDrained,
				PropagationSeconds: ptr.To[int32](5), PropagationMaxSeconds: 30,
				Notify: &v1alpha1.Notify{Port: intstr.FromString("http"), Path: "/drain"},
			},
			GracePeriod: v1alpha1.GracePeriod{
				MinSeconds: 10, MaxSeconds: 600, Percentile: "99", MarginPercent: ptr.To[int32](50),
				WindowSeconds: 3600, StabilizationWindowSeconds: ptr.To[int32](3600), ServerTimeout: v1alpha1.ServerTimeoutReport,
				Latency: &v1alpha1.Latency{Unit: v1alpha1.UnitSeconds, PodMetrics: &v1alpha1.PodMetricsLatency{
					Port: intstr.FromString("metrics"), Path: "/metrics", Scheme: v1alpha1.SchemeHTTP, Histogram: "h",
				}},
			},
			Gate:      v1alpha1.Gate{Hold: v1alpha1.HoldTermination, MaxHoldSeconds: 540, OnStatusFailure: v1alpha1.OnStatusFailureRelease},
			LongLived: v1alpha1.LongLived{Policy: v1alpha1.LongLivedExclude, NoticeSeconds: v1alpha1.DefaultNoticeSeconds},
		}))
	})

	It("asks the Prometheus that is called default unless told otherwise", func(ctx context.Context) {
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "prometheus", Namespace: "default"},
			Spec: v1alpha1.DrainPolicySpec{
				Selector: &metav1.LabelSelector{},
				GracePeriod: v1alpha1.GracePeriod{
					MarginPercent: ptr.To[int32](0), StabilizationWindowSeconds: ptr.To[int32](0),
					Latency: &v1alpha1.Latency{Prometheus: &v1alpha1.PrometheusLatency{Query: "up"}},
				},
			},
		}
		Expect(env.Client.Create(ctx, policy, client.DryRunAll)).To(Succeed())
		Expect(policy.Spec.GracePeriod).To(Equal(v1alpha1.GracePeriod{
			MinSeconds: 10, MaxSeconds: 600, Percentile: "99", MarginPercent: ptr.To[int32](0),
			WindowSeconds: 3600, StabilizationWindowSeconds: ptr.To[int32](0), ServerTimeout: v1alpha1.ServerTimeoutReport,
			Latency: &v1alpha1.Latency{Unit: v1alpha1.UnitSeconds, Prometheus: &v1alpha1.PrometheusLatency{Source: "default", Query: "up"}},
		}))
	})

	It("gets the gate's other defaults, too, when it says where to hold", func(ctx context.Context) {
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "gate", Namespace: "default"},
			Spec: v1alpha1.DrainPolicySpec{
				Selector:    &metav1.LabelSelector{},
				DrainStatus: v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{Port: intstr.FromString("http")}},
				Gate:        v1alpha1.Gate{Hold: v1alpha1.HoldDeletion},
			},
		}
		Expect(env.Client.Create(ctx, policy, client.DryRunAll)).To(Succeed())
		Expect(policy.Spec.Gate).To(Equal(v1alpha1.Gate{
			Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: v1alpha1.DefaultGateMaxHoldSeconds, OnStatusFailure: v1alpha1.OnStatusFailureRelease,
		}))
	})

	It("keeps a propagation of 0, which is not unset", func(ctx context.Context) {
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "zero", Namespace: "default"},
			Spec: v1alpha1.DrainPolicySpec{
				Selector:    &metav1.LabelSelector{},
				DrainStatus: v1alpha1.DrainStatus{TCP: &v1alpha1.TCPDrainStatus{}},
				PreStop:     v1alpha1.PreStop{PropagationSeconds: ptr.To[int32](0)},
			},
		}
		Expect(env.Client.Create(ctx, policy, client.DryRunAll)).To(Succeed())
		Expect(policy.Spec.PreStop.PropagationSeconds).To(HaveValue(BeZero()))
		Expect(policy.Spec.DrainStatus.TCP.IdleSeconds).To(BeEquivalentTo(2))
	})

	It("says in its status what is in front, within bounds", func(ctx context.Context) {
		policy := &v1alpha1.DrainPolicy{
			ObjectMeta: metav1.ObjectMeta{Name: "fronts", Namespace: "default"},
			Spec:       v1alpha1.DrainPolicySpec{Selector: &metav1.LabelSelector{}},
		}
		Expect(env.Client.Create(ctx, policy)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(env.Client.Delete(ctx, policy)).To(Succeed()) })
		front := func(name string) v1alpha1.Front {
			return v1alpha1.Front{Kind: v1alpha1.FrontIngress, Name: name, Service: "web", Targets: v1alpha1.FrontTargetsPods}
		}
		write := func(fronts ...v1alpha1.Front) error {
			written := policy.DeepCopy()
			written.Status.Fronts = fronts
			written.Status.RecentDrains = []v1alpha1.DrainRecord{{Pod: "web-1", UID: "1", Outcome: v1alpha1.OutcomeDrained, EndedAt: metav1.Now(), OldestLongLivedSeconds: ptr.To[int32](60)}}
			return env.Client.Status().Update(ctx, written, client.DryRunAll)
		}
		var all []v1alpha1.Front
		for i := range condition.MaxFronts {
			all = append(all, front(fmt.Sprint("shop-", i)))
		}
		Expect(write(all...)).To(Succeed())
		Expect(write(append(all, front("one-more"))...)).To(MatchError(ContainSubstring("status.fronts: Too many")))
		Expect(write(front("a"), front("a"))).To(MatchError(ContainSubstring("Duplicate value")))
		other := front("a")
		other.Kind = "Gateway"
		Expect(write(other)).To(MatchError(ContainSubstring("supported values")))
	})
})

func create(ctx context.Context, path string) error {
	objects, err := framework.ReadObjects(path)
	if err != nil {
		return err
	}
	Expect(objects).To(HaveLen(1))
	objects[0].SetNamespace("default")
	return env.Client.Create(ctx, objects[0], client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func files(patterns ...string) []string {
	var all []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err != nil || len(matches) == 0 {
			panic("no file is called " + pattern)
		}
		all = append(all, matches...)
	}
	return all
}
