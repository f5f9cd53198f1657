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
	// Pod that is meant, nil when it is not known. For a DELETE it is the one
	// in the request, which is newer than any cache: the taint manager and the
	// scheduler write why they delete a pod only a moment before they do.
	Pod *corev1.Pod
	// NamespaceTerminating says that the pod's namespace is being deleted, as
	// far as the cache knows.
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
	// Reason is the rule that decided, for metrics: one of VerdictReasons.
	Reason VerdictReason
	// Message tells whoever asks what is waited for and until when: printable,
	// under 2 KiB. Only with a refusal.
	Message string
	// Record is the condition to write to the pod afterwards, nil for none:
	// not in a dry run, and not when the same was written a moment ago.
	Record *corev1.PodCondition
	// After is how long the answer stays the same at most: until the bound. 0
	// with Allow.
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
	AllowedDisrupted     VerdictReason = "Disrupted"     // a taint manager, pod GC or preemption
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

// VerdictReasons are all of them, in the order of the rules.
var VerdictReasons = []VerdictReason{
	AllowedNotMeant, AllowedTerminating, AllowedByOperator, AllowedForced, AllowedNamespaceEnds, AllowedDisrupted,
	AllowedNothingRuns, AllowedNotHeld, AllowedNoGate, AllowedUnreachable, AllowedDrained, AllowedBound,
	AllowedStatusUnknown, RefusedNotDrained, AllowedFailed,
}
