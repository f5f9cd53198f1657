package v1alpha1

// Hold says where a pod is held until it has drained.
// +kubebuilder:validation:Enum=Termination;Deletion
type Hold string

const (
	// HoldTermination accepts the deletion at once; the hook holds SIGTERM.
	HoldTermination Hold = "Termination"
	// HoldDeletion refuses the deletion or eviction itself until drained.
	HoldDeletion Hold = "Deletion"
)

// OnStatusFailure says what becomes of a held pod whose drain status cannot be read.
// +kubebuilder:validation:Enum=Release;Hold
type OnStatusFailure string

const (
	// OnStatusFailureRelease lets it go: its hook still drains it.
	OnStatusFailureRelease OnStatusFailure = "Release"
	// OnStatusFailureHold holds it, until the bound.
	OnStatusFailureHold OnStatusFailure = "Hold"
)

// DefaultGateMaxHoldSeconds is below the progressDeadlineSeconds that a
// Deployment has by default (600).
const DefaultGateMaxHoldSeconds = 540

// Gate describes where a pod is held. A change acts at once, also on pods that
// are held: where they are no longer to be, they are released.
type Gate struct {
	// hold Termination accepts a deletion at once, and the hook holds the
	// process until it has drained, for as long as the grace. Deletion
	// refuses deletions and evictions until the pod has drained: for sessions
	// that outlive any sensible grace. It needs drainStatus.http at an address
	// that can be reached from outside of the pod.
	// +optional
	// +default="Termination"
	Hold Hold `json:"hold,omitempty"`

	// maxHoldSeconds bounds the hold Deletion, from the first refused request.
	// Keep it below the progressDeadlineSeconds of the Deployment.
	// +optional
	// +default=540
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	MaxHoldSeconds int32 `json:"maxHoldSeconds,omitempty"`

	// onStatusFailure says what becomes of a pod under hold Deletion whose
	// drain status cannot be read: Release lets it go to its hook, Hold keeps
	// it until the bound.
	// +optional
	// +default="Release"
	OnStatusFailure OnStatusFailure `json:"onStatusFailure,omitempty"`
}
