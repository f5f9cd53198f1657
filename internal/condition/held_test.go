package condition

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

func waitsFor(reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: v1alpha1.PodDrained, Status: corev1.ConditionFalse, Reason: reason})
	}
}

func TestHeld(t *testing.T) {
	ago := func(seconds int) time.Time { return now.Add(-time.Duration(seconds) * time.Second) }
	pods := []*corev1.Pod{
		readyPod("none"),
		readyPod("new", wish(ago(1))),
		readyPod("budget", wish(ago(60)), waitsFor("Budget")),
		readyPod("busy", wish(ago(90)), waitsFor("Requests")),
		readyPod("same", wish(ago(60)), waitsFor("Eviction")),
		readyPod("strange", wish(ago(5)), waitsFor("<script>")),
		readyPod("kept", wish(ago(6)), waitsFor("NotHeld")),
		readyPod("goes", wish(ago(7)), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: now} }),
		readyPod("ended", wish(ago(8)), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		readyPod("other", wish(ago(9)), func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationInjectedBy] = "other/1" }),
	}
	held := func(uid string, seconds int, waitingFor v1alpha1.WaitingFor) v1alpha1.HeldPod {
		return v1alpha1.HeldPod{
			Name: "pod-" + uid, UID: uid, WaitingFor: waitingFor,
			Since: metav1.NewTime(ago(seconds)), Until: metav1.NewTime(ago(seconds).Add(100 * time.Second)),
		}
	}
	got := Decide(Facts{Policy: holdingPolicy(100), Held: Wished(pods)["web"], Now: now}).Status
	want := []v1alpha1.HeldPod{
		held("busy", 90, "Requests"), held("budget", 60, "Budget"), held("same", 60, "Eviction"),
		held("kept", 6, ""), held("strange", 5, ""), held("new", 1, ""),
	}
	if diff := cmp.Diff(want, got.HeldPods); diff != "" {
		t.Errorf("held pods (-want +got):\n%s", diff)
	}
	if got.Held != 6 {
		t.Errorf("%d are held, want 6", got.Held)
	}
}

func TestHeldIsBounded(t *testing.T) {
	var pods []*corev1.Pod
	for i := range 200 {
		pods = append(pods, readyPod(fmt.Sprintf("%03d", i), wish(now.Add(-time.Duration(i)*time.Second))))
	}
	got := Decide(Facts{Policy: holdingPolicy(100), Held: Wished(pods)["web"], Now: now}).Status
	if got.Held != 200 || len(got.HeldPods) != MaxHeldPods || got.HeldPods[0].UID != "199" || got.HeldPods[63].UID != "136" {
		t.Errorf("%d are held, %d listed, %s to %s", got.Held, len(got.HeldPods), got.HeldPods[0].UID, got.HeldPods[len(got.HeldPods)-1].UID)
	}
}
