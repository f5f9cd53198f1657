package condition

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	psaapi "k8s.io/pod-security-admission/api"
	psapolicy "k8s.io/pod-security-admission/policy"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func TestLabelsFor(t *testing.T) {
	in, notIn, exists, absent := metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn, metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist
	expressions := func(list ...metav1.LabelSelectorRequirement) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: list}
	}
	tests := map[string]struct {
		selector *metav1.LabelSelector
		want     map[string]string
		err      error
	}{
		"everything":  {selector: &metav1.LabelSelector{}, want: map[string]string{}},
		"labels":      {selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, want: map[string]string{"app": "web"}},
		"in":          {selector: expressions(metav1.LabelSelectorRequirement{Key: "app", Operator: in, Values: []string{"b", "a"}}), want: map[string]string{"app": "a"}},
		"exists":      {selector: expressions(metav1.LabelSelectorRequirement{Key: "app", Operator: exists}), want: map[string]string{"app": "canary-0"}},
		"not in":      {selector: expressions(metav1.LabelSelectorRequirement{Key: "app", Operator: notIn, Values: []string{"a"}}), want: map[string]string{}},
		"must not be": {selector: expressions(metav1.LabelSelectorRequirement{Key: "app", Operator: absent}), want: map[string]string{}},
		"in, but not all of them": {
			selector: expressions(
				metav1.LabelSelectorRequirement{Key: "app", Operator: in, Values: []string{"a", "b"}},
				metav1.LabelSelectorRequirement{Key: "app", Operator: notIn, Values: []string{"a"}}),
			want: map[string]string{"app": "b"},
		},
		"exists, but not the value that we would take": {
			selector: expressions(
				metav1.LabelSelectorRequirement{Key: "app", Operator: exists},
				metav1.LabelSelectorRequirement{Key: "app", Operator: notIn, Values: []string{"canary-0"}}),
			want: map[string]string{"app": "canary-1"},
		},
		"contradiction": {
			selector: expressions(
				metav1.LabelSelectorRequirement{Key: "app", Operator: in, Values: []string{"a"}},
				metav1.LabelSelectorRequirement{Key: "app", Operator: notIn, Values: []string{"a"}}),
			err: ErrUnsatisfiable,
		},
		"exists and does not": {
			selector: expressions(
				metav1.LabelSelectorRequirement{Key: "app", Operator: exists},
				metav1.LabelSelectorRequirement{Key: "app", Operator: absent}),
			err: ErrUnsatisfiable,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := labelsFor(tc.selector)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("labels (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCanaryIsRestricted(t *testing.T) {
	canary, err := Canary(testobjects.MakePolicy("web").Selects("app", "web").Obj())
	if err != nil {
		t.Fatal(err)
	}
	evaluator, err := psapolicy.NewEvaluator(psapolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(restricted, &canary.ObjectMeta, &canary.Spec) {
		if !result.Allowed {
			t.Errorf("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
		}
	}
	if got := canary.Annotations[v1alpha1.AnnotationPolicy]; got != "web" {
		t.Errorf("the canary names the policy %q", got)
	}
	if plain := CanaryWithoutUs(canary); plain.Annotations[v1alpha1.AnnotationInject] != "false" || canary.Annotations[v1alpha1.AnnotationInject] != "" {
		t.Error("only the plain canary opts out of injection")
	}
}
