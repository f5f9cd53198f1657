package plan_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func TestExclude(t *testing.T) {
	o := plan.Options{OperatorNamespace: "drain-operator-system", ExcludedNamespaces: sets.New("left-alone")}
	pod := func() *utiltesting.PodWrapper {
		return utiltesting.MakePod("a").Container(utiltesting.MakeContainer("app"))
	}
	requires := func(terms ...[]string) *utiltesting.PodWrapper {
		var selector corev1.NodeSelector
		for _, values := range terms {
			selector.NodeSelectorTerms = append(selector.NodeSelectorTerms, corev1.NodeSelectorTerm{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelOSStable, Operator: corev1.NodeSelectorOpIn, Values: values}},
			})
		}
		return pod().With(func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &selector}}
		})
	}
	for name, tc := range map[string]struct {
		pod       *utiltesting.PodWrapper
		namespace string
		want      plan.Exclusion
	}{
		"ordinary":                     {pod: pod()},
		"restarts always":              {pod: pod().With(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyAlways })},
		"never restarts":               {pod: pod().With(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyNever }), want: plan.ExcludedRestartPolicy},
		"restarts on failure":          {pod: pod().With(func(s *corev1.PodSpec) { s.RestartPolicy = corev1.RestartPolicyOnFailure }), want: plan.ExcludedRestartPolicy},
		"kube-system":                  {pod: pod(), namespace: "kube-system", want: plan.ExcludedControlPlane},
		"kube-public":                  {pod: pod(), namespace: "kube-public", want: plan.ExcludedControlPlane},
		"kube-node-lease":              {pod: pod(), namespace: "kube-node-lease", want: plan.ExcludedControlPlane},
		"the operator's namespace":     {pod: pod(), namespace: "drain-operator-system", want: plan.ExcludedOperatorNamespace},
		"a namespace that is left":     {pod: pod(), namespace: "left-alone", want: plan.ExcludedNamespace},
		"opted out":                    {pod: pod().Annotation(v1alpha1.AnnotationInject, "false"), want: plan.ExcludedOptedOut},
		"asked for":                    {pod: pod().Annotation(v1alpha1.AnnotationInject, "true")},
		"mirror pod":                   {pod: pod().Annotation(corev1.MirrorPodAnnotationKey, "x"), want: plan.ExcludedMirrorPod},
		"static pod from a file":       {pod: pod().Annotation("kubernetes.io/config.source", "file"), want: plan.ExcludedStaticPod},
		"pod from the API":             {pod: pod().Annotation("kubernetes.io/config.source", "api")},
		"pod of a node":                {pod: pod().Owner("v1", "Node", "n"), want: plan.ExcludedStaticPod},
		"pod of a ReplicaSet":          {pod: pod().Owner("apps/v1", "ReplicaSet", "r")},
		"says Windows":                 {pod: pod().With(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Windows} }), want: plan.ExcludedWindows},
		"says Linux":                   {pod: pod().With(func(s *corev1.PodSpec) { s.OS = &corev1.PodOS{Name: corev1.Linux} })},
		"selects Windows":              {pod: pod().With(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"kubernetes.io/os": "windows"} }), want: plan.ExcludedWindows},
		"selects Windows, the old way": {pod: pod().With(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"beta.kubernetes.io/os": "windows"} }), want: plan.ExcludedWindows},
		"requires Windows":             {pod: requires([]string{"windows"}), want: plan.ExcludedWindows},
		"requires Windows or Linux":    {pod: requires([]string{"windows"}, []string{"linux"})},
		"requires any of both":         {pod: requires([]string{"windows", "linux"})},
		"has options for Windows": {
			pod: pod().With(func(s *corev1.PodSpec) {
				s.SecurityContext = &corev1.PodSecurityContext{WindowsOptions: &corev1.WindowsSecurityContextOptions{}}
			}),
			want: plan.ExcludedWindows,
		},
		"annotations full": {pod: pod().Annotation("big", strings.Repeat("x", 200<<10)), want: plan.ExcludedAnnotationsFull},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := tc.namespace
			if namespace == "" {
				namespace = "default"
			}
			got, excluded := plan.Exclude(tc.pod.Obj(), namespace, o)
			if got != tc.want || excluded != (tc.want != "") {
				t.Errorf("got %q, %t; want %q", got, excluded, tc.want)
			}
		})
	}
}
