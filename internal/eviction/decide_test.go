package eviction

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// measured is policy web, by which pods of defaults get hold + shutdown.
func measured(hold, shutdown int32, changes ...func(*v1alpha1.DrainPolicy)) *v1alpha1.DrainPolicy {
	p := testbuild.MakePolicy("web").Selects("app", "web").With(func(s *v1alpha1.DrainPolicySpec) {
		s.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{}}
	}).Obj()
	p.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: &hold, ShutdownSeconds: &shutdown}
	for _, change := range changes {
		change(p)
	}
	return p
}

// created is a pod as policy web made it when 20 + 5 s were measured.
func created(changes ...func(*corev1.Pod)) *corev1.Pod {
	pod := testbuild.MakePod("web-1").Label("app", "web").Grace(10).Container(testbuild.MakeContainer("app")).Obj()
	p := measured(20, 5)
	pod = plan.Apply(plan.Build(p, pod, plan.Options{}), pod)
	pod.UID = "uid-1"
	for _, change := range changes {
		change(pod)
	}
	return pod
}

func TestDecide(t *testing.T) {
	longer, same, shorter := measured(50, 10), measured(20, 5), measured(12, 3)
	asking := func(seconds int64) *metav1.DeleteOptions { return &metav1.DeleteOptions{GracePeriodSeconds: &seconds} }
	of := func(uid types.UID) *metav1.DeleteOptions {
		return &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
	}
	lengthened := Answer{Result: ResultLengthened, GraceSeconds: 60}
	longEnough, askedFor, notConcerned := Answer{Result: ResultLongEnough}, Answer{Result: ResultAskedFor}, Answer{Result: ResultNotConcerned}
	tests := map[string]struct {
		options *metav1.DeleteOptions
		pod     *corev1.Pod
		policy  *v1alpha1.DrainPolicy
		want    Answer
	}{
		"no options":                                           {nil, created(), longer, lengthened},
		"options without a grace":                              {&metav1.DeleteOptions{}, created(), longer, lengthened},
		"asks for the pod's own":                               {asking(25), created(), longer, lengthened},
		"a dry run":                                            {&metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}, created(), longer, lengthened},
		"asks for a shorter one":                               {asking(24), created(), longer, askedFor},
		"asks for none":                                        {asking(0), created(), longer, askedFor},
		"asks for less than none":                              {asking(-1), created(), longer, askedFor},
		"asks for one that is longer still":                    {asking(600), created(), longer, askedFor},
		"asks for what its owner gave it":                      {asking(10), created(), longer, askedFor},
		"nothing has changed":                                  {nil, created(), same, longEnough},
		"it would get a shorter one":                           {nil, created(), shorter, longEnough},
		"it would get a shorter one, and its own is asked for": {asking(25), created(), shorter, longEnough},
		"no more than the policy's maximum": {
			nil, created(), measured(50, 10, func(p *v1alpha1.DrainPolicy) { p.Spec.GracePeriod.MaxSeconds = 40 }),
			Answer{Result: ResultLengthened, GraceSeconds: 40},
		},
		"the policy was edited": {
			nil, created(), measured(20, 5, func(p *v1alpha1.DrainPolicy) { p.Spec.GracePeriod.MinSeconds = 60 }), lengthened,
		},
		"the very pod":             {of("uid-1"), created(), longer, lengthened},
		"another pod of that name": {of("uid-0"), created(), longer, notConcerned},
		"a pod that is not known":  {nil, nil, longer, notConcerned},
		"terminating":              {nil, created(func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), longer, notConcerned},
		"not injected":             {nil, testbuild.MakePod("web-1").Label("app", "web").Container(testbuild.MakeContainer("app")).Obj(), longer, notConcerned},
		"labelled, but whose settings it carries is not told": {
			nil, created(func(p *corev1.Pod) { delete(p.Annotations, v1alpha1.AnnotationInjectedBy) }), longer, notConcerned,
		},
		"annotated, but the label was taken off": {
			nil, created(func(p *corev1.Pod) { delete(p.Labels, v1alpha1.LabelInjected) }), longer, notConcerned,
		},
		"carries the settings of a policy that is gone": {
			nil, created(func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationInjectedBy] = "old/1" }), longer, notConcerned,
		},
		"the policy only observes": {
			nil, created(), measured(50, 10, func(p *v1alpha1.DrainPolicy) { p.Spec.Mode = v1alpha1.ModeObserve }), notConcerned,
		},
		"the policy is being deleted": {
			nil, created(), measured(50, 10, func(p *v1alpha1.DrainPolicy) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), notConcerned,
		},
		"the policy does not select it any more: its settings are in the pod all the same": {
			nil, created(func(p *corev1.Pod) { p.Labels["app"] = "other" }), longer, lengthened,
		},
		"a pod that tells no grace has 30 s": {
			asking(30), created(func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = nil }), longer, lengthened,
		},
		"its record is spoilt": {
			nil, created(func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationOriginal] = "{" }), longer, lengthened,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Decide(tc.options, tc.pod, []*v1alpha1.DrainPolicy{testbuild.MakePolicy("other").Obj(), tc.policy})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever is measured, no eviction ever gets a shorter grace than without us.
func TestNeverShorter(t *testing.T) {
	for hold := int32(0); hold < 100; hold += 3 {
		for _, options := range []*metav1.DeleteOptions{nil, {GracePeriodSeconds: ptr.To[int64](25)}} {
			answer := Decide(options, created(), []*v1alpha1.DrainPolicy{measured(hold, 5)})
			if lengthens := answer.Result == ResultLengthened; lengthens != (answer.GraceSeconds > 25) || !lengthens && answer.GraceSeconds != 0 {
				t.Errorf("hold of %d s: %+v", hold, answer)
			}
		}
	}
}
