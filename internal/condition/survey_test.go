package condition

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/policy"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// webPod is selected by app=web, injected by what by says, if anything.
func webPod(name, by string, edits ...func(*corev1.Pod)) *corev1.Pod {
	w := testobjects.MakePod(name).Label("app", "web").Container(testobjects.MakeContainer("app"))
	if by != "" {
		w.Label(v1alpha1.LabelInjected, "true").Annotation(v1alpha1.AnnotationInjectedBy, by)
	}
	p := w.Obj()
	p.Status.Phase = corev1.PodRunning
	for _, edit := range edits {
		edit(p)
	}
	return p
}

func terminating(p *corev1.Pod) { p.DeletionTimestamp = ptr.To(metav1.NewTime(now)) }

func TestSurvey(t *testing.T) {
	web := testobjects.MakePolicy("web").Selects("app", "web").Generation(2).Obj()
	all := testobjects.MakePolicy("all").Obj()
	observer := testobjects.MakePolicy("observer").Selects("app", "web").Observe().Obj()
	tests := map[string]struct {
		policies []*v1alpha1.DrainPolicy
		pods     []*corev1.Pod
		want     map[string]Coverage
	}{
		"no pods": {
			policies: []*v1alpha1.DrainPolicy{web},
			want:     map[string]Coverage{"web": {}},
		},
		"current, outdated, missing": {
			policies: []*v1alpha1.DrainPolicy{web},
			pods:     []*corev1.Pod{webPod("a", "web/2"), webPod("b", "web/1"), webPod("c", "")},
			want:     map[string]Coverage{"web": {Pods: 3, Injected: 2, Outdated: 1, Missing: 1}},
		},
		"settings of a policy that does not win any more are none of ours": {
			policies: []*v1alpha1.DrainPolicy{web},
			pods:     []*corev1.Pod{webPod("a", "older/7")},
			want:     map[string]Coverage{"web": {Pods: 1, Missing: 1}},
		},
		"an annotation that injection did not write": {
			policies: []*v1alpha1.DrainPolicy{web},
			pods:     []*corev1.Pod{webPod("a", "web/x"), webPod("b", "web"), webPod("c", "/2")},
			want:     map[string]Coverage{"web": {Pods: 3, Missing: 3}},
		},
		"terminating and ended pods are past": {
			policies: []*v1alpha1.DrainPolicy{web},
			pods: []*corev1.Pod{
				webPod("a", "web/2", terminating),
				webPod("b", "", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
				webPod("c", "", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
			},
			want: map[string]Coverage{"web": {}},
		},
		"left alone, by reason": {
			policies: []*v1alpha1.DrainPolicy{web},
			pods: []*corev1.Pod{
				webPod("a", "", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }),
				webPod("b", "", func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationInject: "false"} }),
				webPod("c", "web/2"),
			},
			want: map[string]Coverage{"web": {Pods: 3, Injected: 1, Skipped: map[string]int32{
				string(plan.ExcludedRestartPolicy): 1, string(plan.ExcludedOptedOut): 1,
			}}},
		},
		"another policy wins": {
			policies: []*v1alpha1.DrainPolicy{web, all},
			pods:     []*corev1.Pod{webPod("a", "web/2"), webPod("b", "all/1"), webPod("c", "all/1", func(p *corev1.Pod) { p.Labels["app"] = "db" })},
			want: map[string]Coverage{
				"web": {Pods: 2, Injected: 1, Missing: 1},
				"all": {Pods: 1, Injected: 1, Lost: map[Loss]int32{{Winner: "web", Why: policy.WhySpecific}: 2}},
			},
		},
		"an observer does not compete": {
			policies: []*v1alpha1.DrainPolicy{web, observer},
			pods:     []*corev1.Pod{webPod("a", "web/2")},
			want: map[string]Coverage{
				"web":      {Pods: 1, Injected: 1},
				"observer": {Pods: 1, Missing: 1},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := Survey(tc.policies, tc.pods, "default", plan.Options{})
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreFields(Coverage{}, "Covered")); diff != "" {
				t.Errorf("coverage (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSelects(t *testing.T) {
	expression := metav1.LabelSelectorRequirement{Key: "tier", Operator: metav1.LabelSelectorOpExists}
	tests := map[string]struct {
		selector *metav1.LabelSelector
		labels   map[string]string
		want     bool
	}{
		"no selector":        {labels: map[string]string{"app": "web"}},
		"everything":         {selector: &metav1.LabelSelector{}, want: true},
		"a label":            {selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, labels: map[string]string{"app": "web", "x": "y"}, want: true},
		"another value":      {selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, labels: map[string]string{"app": "db"}},
		"an empty value":     {selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": ""}}, labels: map[string]string{}},
		"an expression":      {selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression}}, labels: map[string]string{"tier": "1"}, want: true},
		"not the expression": {selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{expression}}, labels: map[string]string{"app": "web"}},
		"only one of both": {
			selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}, MatchExpressions: []metav1.LabelSelectorRequirement{expression}},
			labels:   map[string]string{"app": "web"},
		},
	}
	for name, tc := range tests {
		if got := Selects(tc.selector, tc.labels); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// BenchmarkSurvey is a namespace as large as a cluster should ever have.
func BenchmarkSurvey(b *testing.B) {
	var policies []*v1alpha1.DrainPolicy
	var pods []*corev1.Pod
	for i := range 1_000 {
		policies = append(policies, testobjects.MakePolicy(strconv.Itoa(i)).Selects("app", strconv.Itoa(i)).Obj())
	}
	for i := range 10_000 {
		pods = append(pods, webPod(strconv.Itoa(i), "x/1", func(p *corev1.Pod) { p.Labels["app"] = strconv.Itoa(i % 1_000) }))
	}
	for b.Loop() {
		Survey(policies, pods, "default", plan.Options{})
	}
}

func TestSurveyGivesTheCoveredPods(t *testing.T) {
	web := testobjects.MakePolicy("web").Selects("app", "web").Obj()
	optedOut := func(p *corev1.Pod) { p.Annotations = map[string]string{v1alpha1.AnnotationInject: "false"} }
	pods := []*corev1.Pod{
		webPod("injected", "web/1"), webPod("missing", ""), webPod("gone", "web/1", terminating), webPod("left-alone", "", optedOut),
	}
	covered := Survey([]*v1alpha1.DrainPolicy{web}, pods, "default", plan.Options{})["web"].Covered
	if diff := cmp.Diff(pods[:2], covered); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
