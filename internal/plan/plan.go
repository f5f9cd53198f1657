// Package plan works out what a policy injects into a pod, and does it. It is
// pure: values in, values out. Build says what; Apply does it.
package plan

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"
)

// Names of what is injected. Where a pod uses one itself, a number follows ours.
const (
	// VolumeName is the volume that holds the agent.
	VolumeName = "drain-operator-agent"
	// InitContainerName is the container that installs the agent.
	InitContainerName = "drain-operator-agent"
	// AnnotationLocalVolumes lists the local volumes that do not keep the
	// cluster autoscaler from removing a node, comma-separated.
	AnnotationLocalVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
)

// Delivery is how the agent gets into a pod.
type Delivery string

const (
	// ImageVolume mounts the agent's image. Every Linux node must be able to.
	ImageVolume Delivery = "ImageVolume"
	// InitContainer copies the agent into an emptyDir.
	InitContainer Delivery = "InitContainer"
)

// Options are what the operator's owner and the cluster decide, not the policy.
type Options struct {
	// AgentImage is the agent's image, by digest.
	AgentImage string
	Delivery   Delivery
	// SleepOnly is the breaker: the agent cannot be had in this namespace.
	SleepOnly bool
	// ReadinessGates says that somebody is there to set the readiness gate of a
	// new pod, and to let the pod go: the operator is known to be alive, and
	// stays. Without it no pod gets one.
	ReadinessGates bool
	// AvoidEmptyDir gives pods that a plain kubectl drain evicts the native
	// sleep hook where the agent would need an emptyDir, which makes it refuse
	// them without --delete-emptydir-data. When false they get the agent, and
	// the plan says NoteEmptyDir.
	AvoidEmptyDir bool
	// OperatorNamespace is where the operator itself runs.
	OperatorNamespace string
	// ExcludedNamespaces are further namespaces that are left alone.
	ExcludedNamespaces sets.Set[string]
}

// Plan is what to inject into one pod.
type Plan struct {
	// Policy and Generation are whose settings these are.
	Policy     string
	Generation int64

	// GraceSeconds is the terminationGracePeriodSeconds that the pod gets.
	GraceSeconds int64
	// BoundSeconds is when a hold ends at the latest, from the start of the hook.
	BoundSeconds int64

	// ProbeGraces keep restarts of dead containers as quick as they were.
	ProbeGraces []ProbeGrace
	// Hooks are the preStop hooks that containers get, in the pod's order.
	Hooks []Hook

	// Variables are environment variables that containers get.
	Variables []Variable

	// Volume holds the agent; nil when no container runs it.
	Volume *corev1.Volume
	// InitContainer installs the agent; nil when Volume needs none.
	InitContainer *corev1.Container

	// ReadinessGate says that the pod gets the readiness gate PodInRotation:
	// only such pods are held when their deletion is asked for.
	ReadinessGate bool

	// Notes are what a person should know about this plan.
	Notes []Note
}

// ProbeKind is which probe of a container.
type ProbeKind string

// The probes by which the kubelet restarts containers.
const (
	LivenessProbe ProbeKind = "Liveness"
	StartupProbe  ProbeKind = "Startup"
)

// ProbeGrace is the terminationGracePeriodSeconds that a probe gets.
type ProbeGrace struct {
	Container string    `json:"container"`
	Kind      ProbeKind `json:"kind"`
	Seconds   int64     `json:"seconds"`
}

// Variable is an environment variable that a container gets.
type Variable struct {
	Container string `json:"container"`
	Name      string `json:"name"`
	Value     string `json:"value"`
}

// Hook is the preStop hook of a container.
type Hook struct {
	Container string
	Handler   corev1.LifecycleHandler
}

// RunsAgent reports whether the hook runs the agent; else it sleeps.
func (h Hook) RunsAgent() bool { return h.Handler.Exec != nil }

// AgentContainers are the names of the containers that run the agent.
func (p Plan) AgentContainers() []string {
	var names []string
	for _, hook := range p.Hooks {
		if hook.RunsAgent() {
			names = append(names, hook.Container)
		}
	}
	return names
}

// NoteReason says what a note is about.
type NoteReason string

// Reasons of notes. docs/injection.md explains each.
const (
	NoteGraceCapped        NoteReason = "GraceCapped"
	NoteHookKept           NoteReason = "HookKept"
	NoteHookBroken         NoteReason = "HookBroken"
	NoteHookTooLarge       NoteReason = "HookTooLarge"
	NoteSmallContainer     NoteReason = "SmallContainer"
	NoteSleepOnly          NoteReason = "AgentNotInstallable"
	NoteMountTaken         NoteReason = "MountPathTaken"
	NotePortNotFound       NoteReason = "PortNotFound"
	NoteNotifyPortNotFound NoteReason = "NotifyPortNotFound"
	NoteBlind              NoteReason = "Blind"
	NoteEmptyDir           NoteReason = "EmptyDirBlocksDrain"
	NoteEmptyDirAvoided    NoteReason = "EmptyDirAvoided"
	NoteDeletionNotHeld    NoteReason = "DeletionNotHeld"
	NoteStopSignalKept     NoteReason = "StopSignalKept"
	NoteStopSignalNotSent  NoteReason = "StopSignalNotSent"
	NoteTimeoutNotAligned  NoteReason = "ServerTimeoutNotAligned"
)

// NoteReasons are all of them.
var NoteReasons = []NoteReason{
	NoteGraceCapped, NoteHookKept, NoteHookBroken, NoteHookTooLarge, NoteSmallContainer, NoteSleepOnly,
	NoteMountTaken, NotePortNotFound, NoteNotifyPortNotFound, NoteBlind, NoteEmptyDir, NoteEmptyDirAvoided,
	NoteDeletionNotHeld, NoteStopSignalKept, NoteStopSignalNotSent, NoteTimeoutNotAligned,
}

// Note is something that a person should know about a plan. Container is
// empty where the whole pod is meant.
type Note struct {
	Reason    NoteReason
	Container string
	Message   string
}
