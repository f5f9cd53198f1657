package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// Situation is all that the leader knows of a pod that may be held.
type Situation struct {
	// Pod as the cache has it.
	Pod *corev1.Pod
	// Policy is the one whose settings the pod carries, nil when there is none
	// any more. Whether it still holds deletions is looked at here.
	Policy *v1alpha1.DrainPolicy
	// Releasing says that an uninstall is under way: nothing is held any more.
	Releasing bool
	// NamespaceTerminating says that the pod's namespace is being deleted.
	NamespaceTerminating bool
	// Owner of the pod, as it is now.
	Owner Owner
	// Neighbours are all pods of the namespace, this one included.
	Neighbours []*corev1.Pod
	// Budgets are all disruption budgets of the namespace.
	Budgets []*policyv1.PodDisruptionBudget
	// Leaving are pods that were taken out of rotation, or let go, by this
	// leader a moment ago, and that the cache may still show as they were.
	Leaving map[types.UID]bool
	// Watched is what the leader has seen of the pod's drain status.
	Watched Watched
	// Refused is what the API server said to the last Release, empty when
	// it was not refused. ByBudget says that the pod's disruption budget refused.
	Refused  string
	ByBudget bool
}

// Watched is what was seen of a pod's drain status, since the leader began to
// look.
type Watched struct {
	// Last is the last look, At when its answer came; zero when there was none.
	Last drainstatus.Reading
	At   time.Time
	// Drained and Unreadable count the last looks in a row that showed it so,
	// each begun after the one before had ended.
	Drained, Unreadable int
	// DrainedSince is when the first of those in a row that showed it drained was begun.
	DrainedSince time.Time
}

// Step is what the leader is to do with a pod now.
type Step struct {
	// Release asks for the pod's end now; nil: not yet. When the API server
	// accepts, nothing else of the step is done, and the hold ended as
	// Release.Why says; the rest is what to do when it refuses.
	Release *Release
	// Conditions to write, none when the pod's are as they should be.
	Conditions []corev1.PodCondition
	// Leaves says that the conditions take the pod out of rotation.
	Leaves bool
	// Watch says that its drain status is to be looked at from now on; else no more.
	Watch bool
	// TellDraining is what the workload is to be told, nil for nothing. It may
	// be told the same again.
	TellDraining *bool
	// Began and Ended say that a hold began or ended with this step's
	// conditions, for events and metrics; the zero value when not. A step is
	// worked out again until the cache shows its conditions.
	Began bool
	Ended HoldEnd
	// WaitingFor what the pod is held, empty when it is not.
	WaitingFor v1alpha1.WaitingFor
	// Message says so to people.
	Message string
	// After is when time alone may change the step; 0 = never.
	After time.Duration
}

// HoldEnd is why a hold ended.
type HoldEnd string

// Ends of holds.
const (
	EndDrained   HoldEnd = "Drained"          // released, drained
	EndBound     HoldEnd = "BoundReached"     // released at its bound
	EndStatus    HoldEnd = "StatusUnreadable" // released, since the policy says so
	EndNotHeld   HoldEnd = "NotHeld"          // released: the policy no longer holds it, or an uninstall
	EndNothing   HoldEnd = "NothingRuns"      // released: no container runs any more
	EndTakenBack HoldEnd = "TakenBack"        // in rotation again: its owner wants it to stay
	EndExpired   HoldEnd = "Expired"          // in rotation again: nobody asked for long
	EndGone      HoldEnd = "Gone"             // somebody else's deletion went through; the leader finds that out
)

// HoldEnds are all of them, for metrics.
var HoldEnds = []HoldEnd{EndDrained, EndBound, EndStatus, EndNotHeld, EndNothing, EndTakenBack, EndExpired, EndGone}

// Release is a request for a pod's end, with its UID as the precondition.
type Release struct {
	Kind         Kind
	GraceSeconds *int64
	Why          HoldEnd
}
