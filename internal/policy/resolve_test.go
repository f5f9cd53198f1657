package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// outcome is a Resolution by names.
type outcome struct {
	Effective, Observed string
	Lost                []policy.Lost
}

func TestResolve(t *testing.T) {
	pod := func() *utiltesting.PodWrapper {
		return utiltesting.MakePod("web-1").Label("app", "web").Label("tier", "front")
	}
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	for name, tc := range map[string]struct {
		pod      *utiltesting.PodWrapper
		policies []*utiltesting.PolicyWrapper
		want     outcome
		trace    string // a part of it
	}{
		"none": {
			pod: pod(),
		},
		"one that selects, one that does not": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("web").Selects("app", "web"),
				utiltesting.MakePolicy("db").Selects("app", "db"),
			},
			want:  outcome{Effective: "web"},
			trace: "enforced, selecting the pod: web",
		},
		"no selector selects nothing": {
			pod:      pod(),
			policies: []*utiltesting.PolicyWrapper{utiltesting.MakePolicy("web").With(func(s *v1alpha1.DrainPolicySpec) { s.Selector = nil })},
		},
		"a selector that cannot be read selects nothing": {
			pod:      pod(),
			policies: []*utiltesting.PolicyWrapper{utiltesting.MakePolicy("web").Requires("app", "Nonsense", "web")},
			trace:    "web: its selector cannot be read",
		},
		"more requirements before older": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("all").Created(early),
				utiltesting.MakePolicy("web").Selects("app", "web").Created(late),
			},
			want:  outcome{Effective: "web", Lost: []policy.Lost{{Policy: "all", Winner: "web", Why: policy.WhySpecific}}},
			trace: "all: lost to web: MoreRequirements",
		},
		"expressions count like labels": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("labels").Selects("app", "web").Created(early),
				utiltesting.MakePolicy("both").Selects("app", "web").Requires("tier", metav1.LabelSelectorOpExists).Created(late),
			},
			want: outcome{Effective: "both", Lost: []policy.Lost{{Policy: "labels", Winner: "both", Why: policy.WhySpecific}}},
		},
		"older before name": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("a").Selects("app", "web").Created(late),
				utiltesting.MakePolicy("b").Selects("app", "web").Created(early),
			},
			want: outcome{Effective: "b", Lost: []policy.Lost{{Policy: "a", Winner: "b", Why: policy.WhyOlder}}},
		},
		"by name at last": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("b").Selects("app", "web").Created(early),
				utiltesting.MakePolicy("c").Selects("app", "web").Created(early),
				utiltesting.MakePolicy("a").Selects("app", "web").Created(early),
			},
			want: outcome{Effective: "a", Lost: []policy.Lost{
				{Policy: "b", Winner: "a", Why: policy.WhyName},
				{Policy: "c", Winner: "a", Why: policy.WhyName},
			}},
		},
		"the one that the pod names before all": {
			pod: pod().Annotation(v1alpha1.AnnotationPolicy, "all"),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("web").Selects("app", "web").Created(early),
				utiltesting.MakePolicy("all").Created(late),
			},
			want: outcome{Effective: "all", Lost: []policy.Lost{{Policy: "web", Winner: "all", Why: policy.WhyNamed}}},
		},
		"the pod names one that does not select it": {
			pod: pod().Annotation(v1alpha1.AnnotationPolicy, "db"),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("db").Selects("app", "db"),
				utiltesting.MakePolicy("web").Selects("app", "web"),
			},
			want:  outcome{Effective: "web"},
			trace: "the pod names db, which does not select it: ignored",
		},
		"one that is being deleted does not count, even if named": {
			pod: pod().Annotation(v1alpha1.AnnotationPolicy, "web"),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("web").Selects("app", "web").Deleting(late),
				utiltesting.MakePolicy("all"),
			},
			want:  outcome{Effective: "all"},
			trace: "web: selects the pod, but is being deleted",
		},
		"observing does not compete": {
			pod: pod().Annotation(v1alpha1.AnnotationPolicy, "watch"),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("watch").Selects("app", "web").Selects("tier", "front").Observe(),
				utiltesting.MakePolicy("all"),
			},
			want: outcome{Effective: "all", Observed: "watch"},
		},
		"observing ones compete among themselves": {
			pod: pod(),
			policies: []*utiltesting.PolicyWrapper{
				utiltesting.MakePolicy("wide").Observe(),
				utiltesting.MakePolicy("narrow").Selects("app", "web").Observe(),
			},
			want:  outcome{Observed: "narrow", Lost: []policy.Lost{{Policy: "wide", Winner: "narrow", Why: policy.WhySpecific}}},
			trace: "observing, selecting the pod: narrow, wide",
		},
	} {
		t.Run(name, func(t *testing.T) {
			given := objects(tc.policies)
			got := policy.Resolve(tc.pod.Obj(), given)
			if diff := cmp.Diff(tc.want, names(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(got.Trace, tc.trace) {
				t.Errorf("the trace does not say %q:\n%s", tc.trace, got.Trace)
			}
			reversed := objects(tc.policies)
			for i, p := range given {
				reversed[len(reversed)-1-i] = p
			}
			if diff := cmp.Diff(tc.want, names(policy.Resolve(tc.pod.Obj(), reversed))); diff != "" {
				t.Errorf("depends on the order in which policies are given (-want +got):\n%s", diff)
			}
		})
	}
}

func objects(wrappers []*utiltesting.PolicyWrapper) []*v1alpha1.DrainPolicy {
	policies := make([]*v1alpha1.DrainPolicy, len(wrappers))
	for i, w := range wrappers {
		policies[i] = w.Obj()
	}
	return policies
}

func names(r policy.Resolution) outcome {
	o := outcome{Lost: r.Lost}
	if r.Effective != nil {
		o.Effective = r.Effective.Name
	}
	if r.Observed != nil {
		o.Observed = r.Observed.Name
	}
	return o
}
