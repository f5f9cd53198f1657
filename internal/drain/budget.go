package drain

import (
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
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
	panic("to be written")
}
