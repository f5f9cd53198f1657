package drain

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// MayLeave says whether all disruption budgets of a pod allow to take it out of
// rotation now, and if not, which one does not and why, for people.
//
// A budget's status lags behind: besides it (observed, disruptionsAllowed more
// than pods that are leaving and still Ready) the pods themselves are counted: those that match, are Ready, not
// terminating, not leaving and not listed in the budget's disruptedPods must
// be more than desiredHealthy. A pod that is not Ready may always leave; but if
// only a readiness gate keeps it from being so, as with one that was put into
// rotation a moment ago, then the others must be enough.
func MayLeave(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget, neighbours []*corev1.Pod, leaving map[types.UID]bool) (bool, string) {
	if !isReady(pod) {
		if !hasCondition(pod, corev1.ContainersReady, corev1.ConditionTrue) {
			return true, ""
		}
		why := lacking(pod, budgets, neighbours, leaving)
		return why == "", why
	}
	for _, b := range of(pod, budgets) {
		if why := refuses(b, count(b, neighbours, leaving)); why != "" {
			return false, fmt.Sprintf("PodDisruptionBudget %s %s", b.Name, why)
		}
	}
	return true, ""
}

// lacking says which budget of a pod wants more healthy pods than there are,
// empty when none does.
func lacking(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget, neighbours []*corev1.Pod, leaving map[types.UID]bool) string {
	for _, b := range of(pod, budgets) {
		if n := count(b, neighbours, leaving); n.healthy < b.Status.DesiredHealthy {
			return fmt.Sprintf("PodDisruptionBudget %s %s", b.Name, wants(b, n.healthy))
		}
	}
	return ""
}

// of are the budgets that are also this pod's.
func of(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget) []*policyv1.PodDisruptionBudget {
	var its []*policyv1.PodDisruptionBudget
	for _, b := range budgets {
		if b.Namespace == pod.Namespace && selectorOf(b).Matches(labels.Set(pod.Labels)) {
			its = append(its, b)
		}
	}
	return its
}

func selectorOf(b *policyv1.PodDisruptionBudget) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
	if err != nil { // the API server takes none of these
		return labels.Nothing()
	}
	return selector
}

// wantNothing says that a pod has a disruption budget, and that it wants no
// healthy pod. It allows to evict a pod that is Ready. One that was taken out
// of rotation is not, and maybe no other pod is healthy: then the eviction API
// refuses for ever, since it asks for more healthy pods than the 0 that are wanted.
func wantNothing(pod *corev1.Pod, budgets []*policyv1.PodDisruptionBudget) bool {
	its := of(pod, budgets)
	return len(its) == 1 && its[0].Status.ObservedGeneration >= its[0].Generation &&
		its[0].Status.DesiredHealthy == 0 && !syncFailed(its[0])
}

// syncFailed says that the status cannot be relied on.
func syncFailed(b *policyv1.PodDisruptionBudget) bool {
	c := meta.FindStatusCondition(b.Status.Conditions, policyv1.DisruptionAllowedCondition)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == policyv1.SyncFailedReason
}

// refuses says why a budget allows no disruption, empty when it does. Those that
// have begun to leave, its status may not have counted.
func refuses(b *policyv1.PodDisruptionBudget, n counted) string {
	switch {
	case b.Status.ObservedGeneration < b.Generation:
		return "was changed, and its status does not tell yet"
	case b.Status.DisruptionsAllowed <= n.leaving:
		return "allows no disruption"
	case n.healthy <= b.Status.DesiredHealthy:
		return wants(b, n.healthy)
	}
	return ""
}

func wants(b *policyv1.PodDisruptionBudget, healthy int32) string {
	return fmt.Sprintf("wants %d healthy pods: %d are", b.Status.DesiredHealthy, healthy)
}

// counted are pods of a budget that are Ready.
type counted struct {
	// healthy ones serve, and are not about to stop.
	healthy int32
	// leaving ones have been taken out of rotation.
	leaving int32
}

func count(b *policyv1.PodDisruptionBudget, neighbours []*corev1.Pod, leaving map[types.UID]bool) counted {
	var n counted
	selector := selectorOf(b)
	for _, p := range neighbours {
		_, evicted := b.Status.DisruptedPods[p.Name]
		switch {
		case p.Namespace != b.Namespace, p.DeletionTimestamp != nil, evicted, !isReady(p), !selector.Matches(labels.Set(p.Labels)):
		case OutOfRotation(p), leaving[p.UID]:
			n.leaving++
		default:
			n.healthy++
		}
	}
	return n
}

// isReady says that the kubelet reports a pod as Ready.
func isReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return c != nil && c.Status == corev1.ConditionTrue
}
