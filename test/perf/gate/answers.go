package gate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/test/perf"
	"github.com/drain-operator/drain-operator/test/perf/emptyhook"
	"github.com/drain-operator/drain-operator/test/perf/fleet"
)

const (
	// rounds of deletions, one of each variant in each; those of the warm-up
	// come before and are not counted.
	rounds = 1000
	warmUp = 100
	// maxRatio is the bound of the design, "Budgets".
	maxRatio = 1.5
)

// variants of what a deletion passes.
const (
	refused = iota // our webhook, which refuses
	allowed        // our webhook, which looks and allows
	empty
	none
	variants
)

var names = [variants]string{"our webhook, refusing", "our webhook, allowing", "empty webhook", "no webhook"}

// counts of policies in the namespace.
var counts = []int{10, 1000}

// answers measures dry runs of deletions, in turns: what disturbs one of them
// disturbs the others as well, and no write to etcd dilutes the difference.
func (b *bench) answers(ctx context.Context) (err error) {
	var pods [variants]*corev1.Pod
	ours := "answers-ours"
	holding, other := fleet.Workload{Namespace: ours, Name: "web"}, fleet.Workload{Namespace: ours, Name: "other"}
	if err := b.namespace(ctx, ours, holdPolicy(holding), other.Policy()); err != nil {
		return err
	}
	if pods[refused], err = b.start(ctx, holding, 0); err != nil {
		return err
	}
	if err := b.awaitReachable(ctx, holding); err != nil {
		return err
	}
	if pods[allowed], err = b.start(ctx, other, 0); err != nil {
		return err
	}
	for variant, namespace := range map[int]string{empty: "answers-empty", none: "answers-none"} {
		if err := b.namespace(ctx, namespace); err != nil {
			return err
		}
		pod := fleet.Workload{Namespace: namespace, Name: "web"}.Pod(0, fleet.NodeName(0))
		pod.Labels[v1alpha1.LabelInjected] = "true"
		if err := b.client.Create(ctx, pod); err != nil {
			return err
		}
		pods[variant] = pod
	}
	stop, err := b.startEmpty(ctx, pods[empty].Namespace)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	have := 2
	for _, count := range counts {
		for ; have < count; have++ {
			if err := b.client.Create(ctx, fleet.Workload{Namespace: ours, Name: fmt.Sprintf("more-%d", have)}.Policy()); err != nil {
				return err
			}
		}
		b.say("%d policies: %d rounds of deletions", count, rounds)
		samples, err := b.measure(ctx, pods)
		if err != nil {
			return err
		}
		b.compare(fmt.Sprintf("%d policies", count), samples)
	}
	return nil
}

func (b *bench) compare(what string, s [variants]perf.Sample) {
	for _, q := range []float64{0.5, 0.99} {
		b.tell(
			s[refused].Ratio(s[empty], Group, what+", a refusal to an empty webhook", q).AtMost(maxRatio),
			s[allowed].Ratio(s[empty], Group, what+", an allowance to an empty webhook", q).AtMost(maxRatio),
		)
		for variant, name := range names {
			b.tell(s[variant].Figure(Group, what+", deletion, "+name, q))
		}
	}
}

func (b *bench) measure(ctx context.Context, pods [variants]*corev1.Pod) (samples [variants]perf.Sample, err error) {
	if err := await(ctx, "a refusal", func(ctx context.Context) (bool, error) {
		_, err := b.deleteDry(ctx, pods[refused])
		return apierrors.IsTooManyRequests(err), nil
	}); err != nil {
		return samples, err
	}
	for round := range warmUp + rounds {
		for _, variant := range rand.Perm(variants) {
			took, err := b.deleteDry(ctx, pods[variant])
			if variant == refused && !apierrors.IsTooManyRequests(err) || variant != refused && err != nil {
				return samples, fmt.Errorf("deletion, %s: %w", names[variant], err)
			}
			if round >= warmUp {
				samples[variant] = append(samples[variant], took)
			}
		}
	}
	return samples, nil
}

func (b *bench) deleteDry(ctx context.Context, pod *corev1.Pod) (time.Duration, error) {
	began := time.Now()
	err := b.client.Delete(ctx, pod, client.DryRunAll)
	return time.Since(began), err
}

// startEmpty registers the empty webhook for a namespace as ours is for its own.
func (b *bench) startEmpty(ctx context.Context, namespace string) (stop func() error, err error) {
	url, bundle, stop, err := emptyhook.Start()
	if err != nil {
		return nil, err
	}
	config := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "bench-empty"}, Webhooks: []admissionv1.ValidatingWebhook{{
		Name:         "empty.bench.drain-operator.dev",
		ClientConfig: admissionv1.WebhookClientConfig{URL: &url, CABundle: bundle},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Delete},
			Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}},
		ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{v1alpha1.LabelInjected: "true"}},
		NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		MatchConditions:         []admissionv1.MatchCondition{{Name: "not-terminating", Expression: "!has(oldObject.metadata.deletionTimestamp)"}},
		SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
		AdmissionReviewVersions: []string{"v1"},
	}}}
	if err := b.client.Create(ctx, config); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}
