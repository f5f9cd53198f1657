package condition

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
)

// MaxHeldPods bounds the list of held pods in a status. The API has the same.
const MaxHeldPods = 64

// Wished are the pods whose end was asked for and refused, by the policy whose
// settings they carry. They are not to be changed.
func Wished(pods []*corev1.Pod) map[string][]*corev1.Pod {
	wished := map[string][]*corev1.Pod{}
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil || Ended(pod) {
			continue
		}
		name, _, injected := InjectedBy(pod)
		if _, asked := drain.WishOf(pod); injected && asked {
			wished[name] = append(wished[name], pod)
		}
	}
	return wished
}

// heldPods are those that have been held for longest, the longest first.
func heldPods(p *v1alpha1.DrainPolicy, wished []*corev1.Pod) []v1alpha1.HeldPod {
	var held []v1alpha1.HeldPod
	for _, pod := range wished {
		wish, _ := drain.WishOf(pod)
		held = append(held, v1alpha1.HeldPod{
			Name: pod.Name, UID: string(pod.UID),
			Since:      metav1.NewTime(wish.Since),
			Until:      metav1.NewTime(written(wish.Until(drain.MaxHold(p)))),
			WaitingFor: waitingFor(pod),
		})
	}
	slices.SortFunc(held, func(a, b v1alpha1.HeldPod) int {
		if order := a.Since.Compare(b.Since.Time); order != 0 {
			return order
		}
		return strings.Compare(a.UID, b.UID)
	})
	return held[:min(len(held), MaxHeldPods)]
}

// written is a time as the API can have it: somebody else may have written the
// last that it has as the beginning of a hold.
func written(t time.Time) time.Time {
	if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); t.After(last) {
		return last
	}
	return t
}

var waits = []v1alpha1.WaitingFor{
	v1alpha1.WaitingForBudget, v1alpha1.WaitingForRotation, v1alpha1.WaitingForRequests, v1alpha1.WaitingForStatus, v1alpha1.WaitingForEviction,
}

// waitingFor leaves out what somebody else wrote to the pod: a value that the
// API does not know would keep the whole status from being written.
func waitingFor(pod *corev1.Pod) v1alpha1.WaitingFor {
	if w := drain.HeldFor(pod); slices.Contains(waits, w) {
		return w
	}
	return ""
}
