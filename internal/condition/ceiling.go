package condition

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Ceilings are how long the platform is known to wait for a pod, whatever
// grace it has.
type Ceilings struct {
	// NodeRemovalSeconds is how long whoever removes nodes waits; 0 = nobody does.
	NodeRemovalSeconds int32
	// Notices of nodes that are taken away.
	Notices []Notice
}

// Notice is how long before its end a node with a label learns of it.
type Notice struct {
	Label, Value string
	Seconds      int32
}

// Of returns the shortest notice that a node with these labels gets.
func (c Ceilings) Of(nodeLabels map[string]string) (Notice, bool) {
	var shortest Notice
	var found bool
	for _, n := range c.Notices {
		if value, labelled := nodeLabels[n.Label]; labelled && value == n.Value && (!found || n.Seconds < shortest.Seconds) {
			shortest, found = n, true
		}
	}
	return shortest, found
}

// graceWithinCeilings says whether the platform waits as long as the grace.
// notice is the shortest that the nodes of the policy's pods get.
func graceWithinCeilings(status *v1alpha1.GraceStatus, c Ceilings, notice *Notice) metav1.Condition {
	set := func(s metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionGraceWithinCeilings, Status: s, Reason: reason, Message: message}
	}
	switch {
	case status == nil:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNoRecommendation, "there is no recommendation yet")
	case notice != nil && status.RecommendedSeconds > notice.Seconds:
		return set(metav1.ConditionFalse, v1alpha1.ReasonOverSpotNotice, fmt.Sprintf(
			"the recommended grace is %d s, and pods are on nodes labelled %s=%s, which end %d s after their notice: what takes longer there is cut. preStop.maxHoldSeconds keeps the hold below it",
			status.RecommendedSeconds, notice.Label, notice.Value, notice.Seconds))
	case c.NodeRemovalSeconds > 0 && status.RecommendedSeconds > c.NodeRemovalSeconds:
		return set(metav1.ConditionFalse, v1alpha1.ReasonOverNodeRemoval, fmt.Sprintf(
			"the recommended grace is %d s, and the cluster autoscaler waits for %d s when it removes a node: what takes longer is cut then. gracePeriod.maxSeconds bounds the grace",
			status.RecommendedSeconds, c.NodeRemovalSeconds))
	default:
		return set(metav1.ConditionTrue, v1alpha1.ReasonWithinCeilings, "the platform is not known to wait for less than the recommended grace")
	}
}
