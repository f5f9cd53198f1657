package registration

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// renderedGate is the gate's configuration as the API server gets it.
func renderedGate(t *testing.T, r Registration) *admissionv1.ValidatingWebhookConfiguration {
	t.Helper()
	encoded, err := json.Marshal(r.Gate())
	if err != nil {
		t.Fatal(err)
	}
	config := &admissionv1.ValidatingWebhookConfiguration{}
	if err := json.Unmarshal(encoded, config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestGate(t *testing.T) {
	theirs := metav1.LabelSelectorRequirement{Key: "cloud.example.com/managed", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}}
	entry := func(name string, operation admissionv1.OperationType, resource string, further ...metav1.LabelSelectorRequirement) admissionv1.ValidatingWebhook {
		return admissionv1.ValidatingWebhook{
			Name: name,
			ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte("ca"), Service: &admissionv1.ServiceReference{
				Namespace: "system", Name: "webhook", Path: ptr.To("/gate"), Port: ptr.To[int32](443),
			}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{operation},
				Rule: admissionv1.Rule{
					APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{resource}, Scope: ptr.To(admissionv1.NamespacedScope),
				},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchExpressions: append([]metav1.LabelSelectorRequirement{
				{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "c"}},
				{Key: v1alpha1.LabelInjection, Operator: metav1.LabelSelectorOpNotIn, Values: []string{v1alpha1.InjectionDisabled}},
			}, further...)},
			MatchPolicy:             ptr.To(admissionv1.Equivalent),
			FailurePolicy:           ptr.To(admissionv1.Ignore),
			SideEffects:             ptr.To(admissionv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds:          ptr.To[int32](2),
			AdmissionReviewVersions: []string{"v1"},
		}
	}
	deletions := entry("delete.gate.drain-operator.dev", admissionv1.Delete, "pods")
	deletions.ObjectSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"drain-operator.dev/injected": "true"}}
	deletions.MatchConditions = []admissionv1.MatchCondition{{Name: "not-terminating", Expression: "!has(oldObject.metadata.deletionTimestamp)"}}
	want := &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{
			Name: "drain-operator-gate", Labels: map[string]string{"app.kubernetes.io/name": "drain-operator"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ClusterRole", Name: "drain-operator"}},
		},
		Webhooks: []admissionv1.ValidatingWebhook{
			deletions, entry("evict.gate.drain-operator.dev", admissionv1.Create, "pods/eviction", theirs),
		},
	}
	got := renderedGate(t, Registration{
		Target: Target{Service: types.NamespacedName{Namespace: "system", Name: "webhook"}}, Bundle: []byte("ca"),
		Namespaces: []string{"a", "b", "c"}, GateNamespaces: []string{"c", "b", "c"},
		Owner:   metaac.OwnerReference().WithKind("ClusterRole").WithName("drain-operator"),
		Foreign: map[string][]metav1.LabelSelectorRequirement{gateEvictName: {theirs}},
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestGateIsRegisteredOnlyWhereWanted(t *testing.T) {
	for name, tc := range map[string]struct {
		registration Registration
		want         int
	}{
		"nobody holds deletions": {Registration{Bundle: []byte("ca"), Namespaces: []string{"a"}, EvictionNamespaces: []string{"a"}}, 0},
		"no bundle":              {Registration{Namespaces: []string{"a"}, GateNamespaces: []string{"a"}}, 0},
		"one does":               {Registration{Bundle: []byte("ca"), Namespaces: []string{"a"}, GateNamespaces: []string{"a"}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			if got := len(renderedGate(t, tc.registration).Webhooks); got != tc.want {
				t.Errorf("got %d entries, want %d", got, tc.want)
			}
		})
	}
}

func TestForeignGateRequirements(t *testing.T) {
	theirs := metav1.LabelSelectorRequirement{Key: "cloud.example.com/managed", Operator: metav1.LabelSelectorOpExists}
	registered := renderedGate(t, Registration{Bundle: []byte("ca"), GateNamespaces: []string{"a"}})
	selector := registered.Webhooks[1].NamespaceSelector
	selector.MatchExpressions = append(selector.MatchExpressions, theirs)
	registered.Webhooks[0].NamespaceSelector = nil
	want := map[string][]metav1.LabelSelectorRequirement{gateDeleteName: nil, gateEvictName: {theirs}}
	if diff := cmp.Diff(want, ForeignGateRequirements(registered)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A new CA is known only when all that is registered knows it.
func TestPublishedBundles(t *testing.T) {
	r := Registration{Bundle: []byte("ca"), Namespaces: []string{"a"}, EvictionNamespaces: []string{"a"}, GateNamespaces: []string{"a"}}
	injection, gate := rendered(t, r), renderedGate(t, r)
	injection.Webhooks[1].ClientConfig.CABundle = []byte("old")
	gate.Webhooks[1].ClientConfig.CABundle = nil
	if diff := cmp.Diff([][]byte{[]byte("ca"), []byte("old")}, PublishedBundles(injection)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]byte{[]byte("ca"), nil}, PublishedGateBundles(gate)); diff != "" {
		t.Errorf("of the gate (-want +got):\n%s", diff)
	}
	if got := PublishedGateBundles(renderedGate(t, Registration{})); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}
