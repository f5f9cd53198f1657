package drain

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Kind is how somebody asks for a pod to end.
type Kind string

const (
	// Delete is a DELETE of the pod.
	Delete Kind = "Delete"
	// Evict is an Eviction, which its disruption budget may refuse.
	Evict Kind = "Evict"
)

// Ask is one request to end a pod.
type Ask struct {
	Kind Kind
	// User is the name of who asks.
	User string
	// ByOperator says that the operator itself asks.
	ByOperator bool
	// GraceSeconds is the grace asked for, nil when none is.
	GraceSeconds *int64
	// UID is the precondition of the request, empty when there is none.
	UID types.UID
	// DryRun requests get the same verdict, and leave no trace.
	DryRun bool
}

// Snapshot is all that a verdict stands on.
type Snapshot struct {
	Ask Ask
	// Pod that is meant, nil when it is not known.
	Pod *corev1.Pod
	// NamespaceTerminating says that the pod's namespace is being deleted.
	NamespaceTerminating bool
	// Policy is the one whose settings the pod carries, nil when there is
	// none any more.
	Policy *v1alpha1.DrainPolicy
	// Releasing says that an uninstall is under way: nothing is held any more.
	Releasing bool
}

// Verdict is the answer to an Ask.
type Verdict struct {
	Allow bool
	// Reason is the rule that decided, for metrics.
	Reason VerdictReason
	// Message tells whoever asks what is waited for and until when. Only with a refusal.
	Message string
	// Record is the condition to write to the pod afterwards, nil for none:
	// not in a dry run, and not when the same was written a moment ago.
	Record *corev1.PodCondition
	// After is when to ask again for a different answer at the latest; 0 with Allow.
	After time.Duration
}

// VerdictReason names a rule.
type VerdictReason string

// Rules by which a request is allowed or refused. docs/gate.md explains each.
const (
	AllowedNotMeant      VerdictReason = "NotMeant"      // no such pod, another UID, or not ours
	AllowedTerminating   VerdictReason = "Terminating"   // it is being deleted already
	AllowedByOperator    VerdictReason = "ByOperator"    // the operator asks
	AllowedForced        VerdictReason = "Forced"        // a grace of 0 is asked for
	AllowedNamespaceEnds VerdictReason = "NamespaceEnds" // its namespace goes
	AllowedDisrupted     VerdictReason = "Disrupted"     // taint manager, pod GC or preemption
	AllowedNothingRuns   VerdictReason = "NothingRuns"   // never ready, or no running container
	AllowedNotHeld       VerdictReason = "NotHeld"       // no policy holds deletions of it (any more)
	AllowedNoGate        VerdictReason = "NoReadinessGate"
	AllowedUnreachable   VerdictReason = "StatusUnreachable" // DrainStatusReachable is not True, and it is not held yet
	AllowedDrained       VerdictReason = "Drained"
	AllowedBound         VerdictReason = "BoundReached"
	AllowedStatusUnknown VerdictReason = "StatusUnknown" // the leader could not read it, and the policy says Release
	RefusedNotDrained    VerdictReason = "NotDrained"
	AllowedFailed        VerdictReason = "Failed" // anything unforeseen; set by the webhook
)

// Decide answers a request, by the first rule that knows.
//
// It looks at nothing but what the leader wrote to the pod's conditions and at
// the clock: all replicas give the same answer.
func Decide(s Snapshot, now time.Time) Verdict { panic("to be written") }
