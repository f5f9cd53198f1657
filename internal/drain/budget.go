package drain

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// MayLeave says whether all disruption budgets of a pod allow to take it out of
// rotation now, and if not, which one does not and why, for people.
//
// A budget's status lags behind: besides it (observed, disruptionsAllowed > 0)
// the pods themselves are counted: those that match, are Ready, not
// terminating, not leaving and not listed in the budget's disruptedPods must
// be more than desiredHealthy. A pod that is not Ready may always leave.
func MayLeave(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget, neighbours []*corev1.Pod, leaving map[types.UID]bool) (bool, string) {
	if !isReady(pod) {
		return true, ""
	}
	for _, b := range budgets {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil || b.Namespace != pod.Namespace || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if why := refuses(b, healthy(b, selector, neighbours, leaving)); why != "" {
			return false, fmt.Sprintf("PodDisruptionBudget %s %s", b.Name, why)
		}
	}
	return true, ""
}

// refuses says why a budget allows no disruption while that many of its pods
// are healthy, empty when it does.
func refuses(b *policyv1.PodDisruptionBudget, healthy int32) string {
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return "was changed, and its status does not tell yet"
	case b.Status.DisruptionsAllowed <= 0:
		return "allows no disruption"
	case healthy <= b.Status.DesiredHealthy:
		return fmt.Sprintf("wants %d healthy pods: %d are", b.Status.DesiredHealthy, healthy)
	}
	return ""
}

// healthy counts the pods of a budget that serve, and are not about to stop.
func healthy(b *policyv1.PodDisruptionBudget, selector labels.Selector, neighbours []*corev1.Pod, leaving map[types.UID]bool) int32 {
	var n int32
	for _, p := range neighbours {
		_, evicted := b.Status.DisruptedPods[p.Name]
		if p.Namespace == b.Namespace && selector.Matches(labels.Set(p.Labels)) && isReady(p) &&
			p.DeletionTimestamp == nil && !OutOfRotation(p) && !leaving[p.UID] && !evicted {
			n++
		}
	}
	return n
}

// isReady says that the kubelet reports a pod as Ready.
func isReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}
