package condition

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func deadline(name string, seconds int32) Deadline {
	return Deadline{Deployment: name, Seconds: seconds, PodLabels: map[string]string{"app": "web"}}
}

func TestHoldWithinDeadlines(t *testing.T) {
	other, asksFor, asksForOther := deadline("api", 60), deadline("mine", 60), deadline("other", 60)
	other.PodLabels = map[string]string{"app": "api"}
	asksFor.Policy, asksForOther.Policy = "web", "another"
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	tests := map[string]struct {
		policy    *v1alpha1.DrainPolicy
		deadlines []Deadline
		status    metav1.ConditionStatus
		reason    string
		says      string
	}{
		"hold Termination": {testobjects.MakePolicy("web").Obj(), []Deadline{deadline("web", 60)}, unknown, "NotHoldingDeletions", ""},
		"not listed yet":   {holdingPolicy(540), nil, unknown, "NotYetChecked", ""},
		"no Deployment":    {holdingPolicy(540), []Deadline{}, yes, "WithinDeadlines", "540 s"},
		"long enough":      {holdingPolicy(540), []Deadline{deadline("web", 600)}, yes, "WithinDeadlines", ""},
		"just as long":     {holdingPolicy(600), []Deadline{deadline("web", 600)}, no, "OverProgressDeadline", "web is 600"},
		"too short":        {holdingPolicy(3600), []Deadline{deadline("web", 600)}, no, "OverProgressDeadline", "held for 3600 s"},
		"no bound given":   {holdingPolicy(0), []Deadline{deadline("web", 540)}, no, "OverProgressDeadline", "540 s"},
		"not selected":     {holdingPolicy(540), []Deadline{other}, yes, "WithinDeadlines", ""},
		"asked for":        {holdingPolicy(540), []Deadline{asksFor}, no, "OverProgressDeadline", "mine"},
		"another asked for": {
			holdingPolicy(540), []Deadline{asksForOther}, yes, "WithinDeadlines", "",
		},
		"the shortest three": {
			holdingPolicy(540), []Deadline{deadline("e", 500), deadline("d", 400), deadline("b", 60), deadline("c", 60), deadline("a", 300)},
			no, "OverProgressDeadline", "progressDeadlineSeconds of b is 60, c is 60, a is 300, and 2 more are as short",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := holdWithinDeadlines(tc.policy, tc.deadlines)
			if got.Type != v1alpha1.ConditionHoldWithinDeadlines || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s that says %q", got, tc.status, tc.reason, tc.says)
			}
		})
	}
}

func TestDeadlineOf(t *testing.T) {
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{"app": "web"}, Annotations: map[string]string{v1alpha1.AnnotationPolicy: "slow"},
	}}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Template: template}}
	want := Deadline{Deployment: "web", Seconds: 600, PodLabels: map[string]string{"app": "web"}, Policy: "slow"}
	if diff := cmp.Diff(want, DeadlineOf(d)); diff != "" {
		t.Errorf("by default (-want +got):\n%s", diff)
	}
	d.Spec.ProgressDeadlineSeconds, want.Seconds = ptr.To[int32](60), 60
	if diff := cmp.Diff(want, DeadlineOf(d)); diff != "" {
		t.Errorf("given (-want +got):\n%s", diff)
	}
}
