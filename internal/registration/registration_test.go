package registration

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// rendered is the configuration as the API server gets it.
func rendered(t *testing.T, r Registration) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	encoded, err := json.Marshal(r.Configuration())
	if err != nil {
		t.Fatal(err)
	}
	config := &admissionv1.MutatingWebhookConfiguration{}
	if err := json.Unmarshal(encoded, config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestEvictionsAreAskedAboutOnlyWhereWanted(t *testing.T) {
	tests := map[string]struct {
		registration Registration
		want         []string
	}{
		"no policy":             {Registration{Bundle: []byte("ca")}, nil},
		"no bundle":             {Registration{Namespaces: []string{"a"}, EvictionNamespaces: []string{"a"}}, nil},
		"nothing measured":      {Registration{Bundle: []byte("ca"), Namespaces: []string{"a"}}, []string{injectName}},
		"measured in one of it": {Registration{Bundle: []byte("ca"), Namespaces: []string{"a", "b"}, EvictionNamespaces: []string{"b"}}, []string{injectName, evictName}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, w := range rendered(t, tc.registration).Webhooks {
				got = append(got, w.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("webhooks (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvictionWebhook(t *testing.T) {
	theirs := metav1.LabelSelectorRequirement{Key: "cloud.example.com/managed", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"true"}}
	config := rendered(t, Registration{
		Target: Target{Service: types.NamespacedName{Namespace: "system", Name: "webhook"}}, Bundle: []byte("ca"),
		Namespaces: []string{"a", "b", "c"}, EvictionNamespaces: []string{"c", "b", "c"},
		Foreign: map[string][]metav1.LabelSelectorRequirement{evictName: {theirs}},
	})
	want := admissionv1.MutatingWebhook{
		Name: evictName,
		ClientConfig: admissionv1.WebhookClientConfig{CABundle: []byte("ca"), Service: &admissionv1.ServiceReference{
			Namespace: "system", Name: "webhook", Path: ptr.To("/evict"), Port: ptr.To[int32](443),
		}},
		Rules: []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule: admissionv1.Rule{
				APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/eviction"}, Scope: ptr.To(admissionv1.NamespacedScope),
			},
		}},
		NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpIn, Values: []string{"b", "c"}},
			{Key: v1alpha1.LabelInjection, Operator: metav1.LabelSelectorOpNotIn, Values: []string{v1alpha1.InjectionDisabled}},
			theirs,
		}},
		MatchPolicy:             ptr.To(admissionv1.Equivalent),
		FailurePolicy:           ptr.To(admissionv1.Ignore),
		SideEffects:             ptr.To(admissionv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](2),
		ReinvocationPolicy:      ptr.To(admissionv1.NeverReinvocationPolicy),
		AdmissionReviewVersions: []string{"v1"},
	}
	if diff := cmp.Diff(want, config.Webhooks[1]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if slices.ContainsFunc(config.Webhooks[0].NamespaceSelector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool { return r.Key == theirs.Key }) {
		t.Error("what somebody added to one webhook is in the other, too")
	}
	if diff := cmp.Diff(map[string][]metav1.LabelSelectorRequirement{injectName: {}, evictName: {theirs}}, ForeignRequirements(config)); diff != "" {
		t.Errorf("foreign (-want +got):\n%s", diff)
	}
}

func TestWantsEvictions(t *testing.T) {
	seconds := ptr.To[int32](9)
	tests := map[string]struct {
		mode   v1alpha1.Mode
		status *v1alpha1.GraceStatus
		want   bool
	}{
		"nothing recommended":          {v1alpha1.ModeEnforce, nil, false},
		"recommended, nothing seen":    {v1alpha1.ModeEnforce, &v1alpha1.GraceStatus{RecommendedSeconds: 90}, false},
		"latency seen":                 {v1alpha1.ModeEnforce, &v1alpha1.GraceStatus{HoldSeconds: seconds}, true},
		"shutdown seen":                {v1alpha1.ModeEnforce, &v1alpha1.GraceStatus{ShutdownSeconds: seconds}, true},
		"a mode that was not given":    {"", &v1alpha1.GraceStatus{HoldSeconds: seconds}, true},
		"observes, and changes no pod": {v1alpha1.ModeObserve, &v1alpha1.GraceStatus{HoldSeconds: seconds}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := testbuild.MakePolicy("web").Obj()
			p.Spec.Mode, p.Status.GracePeriod = tc.mode, tc.status
			if got := WantsEvictions(p); got != tc.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
