package store

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

func TestPoliciesThatMatter(t *testing.T) {
	broken := func(w *testbuild.PolicyWrapper) *v1alpha1.DrainPolicy {
		p := w.Obj()
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAgentInstallable, Status: metav1.ConditionFalse}}
		return p
	}
	makePolicy := func(name string) *testbuild.PolicyWrapper { return testbuild.MakePolicy(name).Namespace("shop") }
	for name, tc := range map[string]struct {
		policies []*v1alpha1.DrainPolicy
		want     []string
	}{
		"none": {},
		"all that may select the pod": {
			policies: []*v1alpha1.DrainPolicy{
				makePolicy("web").Selects("app", "web").Obj(),
				makePolicy("front").Selects("tier", "front").Obj(),
				makePolicy("both").Selects("tier", "front").Selects("app", "web").Obj(),
				makePolicy("all").Obj(),
				makePolicy("expression").Requires("app", metav1.LabelSelectorOpExists).Obj(),
				makePolicy("other").Selects("app", "other").Obj(),
				testbuild.MakePolicy("far").Namespace("far").Selects("app", "web").Obj(),
			},
			want: []string{"all", "both", "expression", "front", "web"},
		},
		"one whose agent cannot be installed": {
			policies: []*v1alpha1.DrainPolicy{
				makePolicy("web").Selects("app", "web").Obj(),
				broken(makePolicy("a").Selects("app", "a")),
				broken(testbuild.MakePolicy("far").Namespace("far").Selects("app", "far")),
			},
			want: []string{"a", "web"},
		},
		"once, when it selects the pod itself": {
			policies: []*v1alpha1.DrainPolicy{broken(makePolicy("web").Selects("app", "web"))},
			want:     []string{"web"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			index := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, indexers)
			for _, p := range tc.policies {
				if err := index.Add(p); err != nil {
					t.Fatal(err)
				}
			}
			policies := Policies{index: index, synced: func() bool { return true }}
			found, err := policies.For(t.Context(), "shop", map[string]string{"app": "web", "tier": "front"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range found {
				got = append(got, p.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPolicyByName(t *testing.T) {
	index := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, indexers)
	web := testbuild.MakePolicy("web").Namespace("shop").Obj()
	for _, p := range []*v1alpha1.DrainPolicy{web, testbuild.MakePolicy("far").Namespace("far").Obj()} {
		if err := index.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	policies := Policies{index: index, synced: func() bool { return true }}
	for name, want := range map[string]*v1alpha1.DrainPolicy{"web": web, "far": nil, "gone": nil, "": nil} {
		got, err := policies.Policy(t.Context(), "shop", name)
		if err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", name, got, err, want)
		}
	}
}

func TestPoliciesAreNotAnsweredBeforeTheyAreRead(t *testing.T) {
	policies := Policies{index: toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, indexers), synced: func() bool { return false }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := policies.For(ctx, "shop", nil); err == nil {
		t.Errorf("got %v, want an error", found)
	}
	if found, err := policies.Policy(ctx, "shop", "web"); err == nil {
		t.Errorf("got %v, want an error", found)
	}
}
