package policy

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// Whatever selects a pod must be found by the pod's labels.
func TestKeysFindWhatSelects(t *testing.T) {
	withSelector := func(selector *metav1.LabelSelector) *v1alpha1.DrainPolicy {
		p := testbuild.MakePolicy("p").Obj()
		p.Spec.Selector = selector
		return p
	}
	for name, tc := range map[string]struct {
		policy *v1alpha1.DrainPolicy
		labels map[string]string
		want   bool
	}{
		"no selector":            {policy: withSelector(nil), labels: nil, want: true},
		"everything":             {policy: withSelector(&metav1.LabelSelector{}), labels: map[string]string{"app": "web"}, want: true},
		"everything, no labels":  {policy: withSelector(&metav1.LabelSelector{}), labels: nil, want: true},
		"expressions only":       {policy: testbuild.MakePolicy("p").Requires("app", metav1.LabelSelectorOpExists).Obj(), labels: map[string]string{"app": "web"}, want: true},
		"one label":              {policy: testbuild.MakePolicy("p").Selects("app", "web").Obj(), labels: map[string]string{"app": "web", "a": "b"}, want: true},
		"two labels":             {policy: testbuild.MakePolicy("p").Selects("tier", "front").Selects("app", "web").Obj(), labels: map[string]string{"app": "web", "tier": "front"}, want: true},
		"a label without value":  {policy: testbuild.MakePolicy("p").Selects("app", "").Obj(), labels: map[string]string{"app": ""}, want: true},
		"a label and expression": {policy: testbuild.MakePolicy("p").Selects("app", "web").Requires("a", metav1.LabelSelectorOpExists).Obj(), labels: map[string]string{"app": "web", "a": "b"}, want: true},
		"another value":          {policy: testbuild.MakePolicy("p").Selects("app", "web").Obj(), labels: map[string]string{"app": "shop"}, want: false},
		"another label":          {policy: testbuild.MakePolicy("p").Selects("app", "web").Obj(), labels: map[string]string{"tier": "web"}, want: false},
		"no labels":              {policy: testbuild.MakePolicy("p").Selects("app", "web").Obj(), labels: nil, want: false},
	} {
		t.Run(name, func(t *testing.T) {
			if found := slices.Contains(Keys(tc.labels), Key(tc.policy)); found != tc.want {
				t.Errorf("found: %t, want %t", found, tc.want)
			}
			pod := testbuild.MakePod("a").Obj()
			pod.Labels = tc.labels
			if selected := Resolve(pod, []*v1alpha1.DrainPolicy{tc.policy}).Effective != nil; selected && !tc.want {
				t.Error("the policy selects the pod and is not found")
			}
		})
	}
}
