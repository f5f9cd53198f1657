package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Outcome is how a drain ended.
// +kubebuilder:validation:Enum=Drained;TimedOut;Forced;Skipped;Unknown
type Outcome string

const (
	// OutcomeDrained: out of rotation, nothing in flight, then SIGTERM.
	OutcomeDrained Outcome = "Drained"
	// OutcomeTimedOut: the hold's bound was reached with something still in flight.
	OutcomeTimedOut Outcome = "TimedOut"
	// OutcomeForced: killed by SIGKILL: the grace was spent, or a shorter one was asked for.
	OutcomeForced Outcome = "Forced"
	// OutcomeSkipped: nothing to hold: the hook could not run, or was released by hand.
	OutcomeSkipped Outcome = "Skipped"
	// OutcomeUnknown: the drain status could not be read, or the end was not observed.
	OutcomeUnknown Outcome = "Unknown"
)

// Cause of a drain's outcome, in one word that programs can rely on. New ones
// may be added.
type Cause string

const (
	// CauseHoldEnded: the agent saw the pod out of rotation with nothing in flight. Outcome Drained.
	CauseHoldEnded Cause = "HoldEnded"
	// CauseBoundReached: the hold's bound came first. Outcome TimedOut.
	CauseBoundReached Cause = "BoundReached"
	// CauseGraceSpent: a container was killed because the grace was spent. Outcome Forced.
	CauseGraceSpent Cause = "GraceSpent"
	// CauseShorterGrace: the deletion asked for a shorter grace than the pod has. Outcome Forced.
	CauseShorterGrace Cause = "ShorterGrace"
	// CauseForceDeleted: the object was removed while containers ran. Outcome Forced.
	CauseForceDeleted Cause = "ForceDeleted"
	// CauseNothingRan: no container was running when the deletion came. Outcome Skipped.
	CauseNothingRan Cause = "NothingRan"
	// CauseHookFailed: the hook could not be run. Outcome Skipped.
	CauseHookFailed Cause = "HookFailed"
	// CauseNoHook: the pod has no hook, as its policy asks. Outcome Skipped.
	CauseNoHook Cause = "NoHook"
	// CauseReleased: the agent saw nothing to hold, or was released by hand. Outcome Skipped.
	CauseReleased Cause = "Released"
	// CauseStatusUnreadable: the agent could not read the drain status. Outcome Unknown.
	CauseStatusUnreadable Cause = "StatusUnreadable"
	// CauseResultUnreadable: the agent's line could not be read. Outcome Unknown.
	CauseResultUnreadable Cause = "ResultUnreadable"
	// CauseNoStatus: a hook that reads no drain status held the pod: the
	// native sleep hook, or the container's own. Outcome Unknown.
	CauseNoStatus Cause = "NoStatus"
	// CauseEndedByItself: a container ended before its hold did. Outcome Unknown.
	CauseEndedByItself Cause = "EndedByItself"
	// CauseOutOfMemory: a container was killed for want of memory. Outcome Unknown.
	CauseOutOfMemory Cause = "OutOfMemory"
	// CauseNodeLost: the pod's node is gone. Outcome Unknown.
	CauseNodeLost Cause = "NodeLost"
	// CauseEndNotObserved: nobody saw how the drain ended. Outcome Unknown.
	CauseEndNotObserved Cause = "EndNotObserved"
)

// DrainPolicyStatus is what the operator sees.
type DrainPolicyStatus struct {
	// observedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// pods that the policy covers now: selected, not ended, not won by another policy.
	// +optional
	Pods int32 `json:"pods"`

	// injected is how many of pods carry settings of this policy, of whatever generation.
	// +optional
	Injected int32 `json:"injected"`

	// outdated is how many of injected carry settings of an older generation.
	// +optional
	Outdated int32 `json:"outdated"`

	// draining is how many pods with settings of this policy are terminating now.
	// +optional
	Draining int32 `json:"draining"`

	// drainingPods are the injected pods that are terminating now, oldest
	// first, at most 256. A drain that is listed here is counted in drains
	// even when no replica of the operator sees its end.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=256
	DrainingPods []DrainingPod `json:"drainingPods,omitempty"`

	// held is how many pods are held now under hold Deletion.
	// +optional
	Held int32 `json:"held,omitempty"`

	// heldPods are pods that are held now, those longest held first, at most 64.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=64
	HeldPods []HeldPod `json:"heldPods,omitempty"`

	// drains counts the drains that have ended, by outcome.
	// +optional
	Drains DrainCounts `json:"drains,omitzero"`

	// recentDrains are the last drains that ended, newest first, at most 32.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=32
	RecentDrains []DrainRecord `json:"recentDrains,omitempty"`

	// agentImage is the image of the drain agent that pods get now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	AgentImage string `json:"agentImage,omitempty"`

	// gracePeriod is what the grace of pods is worked out to be, and from what.
	// +optional
	GracePeriod *GraceStatus `json:"gracePeriod,omitempty"`

	// skipped counts selected pods that are left alone, by reason.
	// +optional
	// +listType=map
	// +listMapKey=reason
	// +kubebuilder:validation:MaxItems=16
	Skipped []SkippedPods `json:"skipped,omitempty"`

	// fronts are the AWS load balancers that Ingresses, Services and
	// TargetGroupBindings declare in front of the pods, at most 16.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +listMapKey=service
	// +kubebuilder:validation:MaxItems=16
	Fronts []Front `json:"fronts,omitempty"`

	// conditions are Ready, PodsInjected, Conflicting, AgentInstallable,
	// DrainStatusReachable, LatencyObserved, GraceWithinCeilings,
	// HoldWithinDeadlines, ServerStopsInTime, FrontsCovered and
	// ConnectionsYoungEnough.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// FrontKind is what declares a load balancer.
// +kubebuilder:validation:Enum=Ingress;Service;TargetGroupBinding
type FrontKind string

const (
	// FrontIngress is an Ingress of a class of the AWS Load Balancer Controller.
	FrontIngress FrontKind = "Ingress"
	// FrontService is a Service for which that controller makes a load balancer.
	FrontService FrontKind = "Service"
	// FrontTargetGroupBinding is one that somebody made by hand.
	FrontTargetGroupBinding FrontKind = "TargetGroupBinding"
)

// FrontBalancer is a kind of load balancer.
// +kubebuilder:validation:Enum=ALB;NLB
type FrontBalancer string

const (
	// FrontALB is an Application Load Balancer.
	FrontALB FrontBalancer = "ALB"
	// FrontNLB is a Network Load Balancer.
	FrontNLB FrontBalancer = "NLB"
)

// FrontTargets are what a load balancer sends to.
// +kubebuilder:validation:Enum=Pods;Nodes
type FrontTargets string

const (
	// FrontTargetsPods: the pods' own addresses, target type ip.
	FrontTargetsPods FrontTargets = "Pods"
	// FrontTargetsNodes: ports of the nodes, target type instance. A pod that
	// goes is nothing that such a load balancer learns of.
	FrontTargetsNodes FrontTargets = "Nodes"
)

// Front is a load balancer in front of the pods, as the cluster declares it.
type Front struct {
	// kind of the object that declares it.
	// +required
	Kind FrontKind `json:"kind"`
	// name of that object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// service that selects the pods.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Service string `json:"service"`
	// loadBalancer is its kind; unset where the object does not tell.
	// +optional
	LoadBalancer FrontBalancer `json:"loadBalancer,omitempty"`
	// targets are what it sends to.
	// +required
	Targets FrontTargets `json:"targets"`
	// deregistrationDelaySeconds is how long it lets requests in flight go on
	// once a target is deregistered.
	// +required
	DeregistrationDelaySeconds int32 `json:"deregistrationDelaySeconds"`
	// declared says that an annotation gives that delay; else it is AWS' default.
	// +optional
	Declared bool `json:"declared,omitempty"`
}

// Bounds of GraceStatus.MeasuredWorkloads: how many, and how long one is, in
// bytes. A kind has at most 63, a name 253.
const (
	MaxMeasuredWorkloads     = 64
	MaxMeasuredWorkloadBytes = 63 + 1 + 253
)

// GraceStatus is a recommendation for terminationGracePeriodSeconds and what
// it stands on. It is written when it changes, not with every look: the
// figures are those of the look that changed it.
type GraceStatus struct {
	// percentile that latencyMilliseconds is of.
	// +optional
	// +kubebuilder:validation:MaxLength=5
	Percentile string `json:"percentile,omitempty"`
	// latencyMilliseconds is that percentile of the request latency, never
	// less than it was: the upper bound of a bucket. Unset when none was seen.
	// +optional
	LatencyMilliseconds *int64 `json:"latencyMilliseconds,omitempty"`
	// requests that were looked at.
	// +optional
	Requests int64 `json:"requests"`
	// observedAt is when they were looked at.
	// +optional
	ObservedAt *metav1.Time `json:"observedAt,omitempty"`
	// holdSeconds is how long a hold may take: propagation and the time for
	// requests in flight. It stands on measurements; unset without them, and
	// then pods never get less than their own grace.
	// +optional
	HoldSeconds *int32 `json:"holdSeconds,omitempty"`
	// shutdownSeconds is what the process was seen to need from SIGTERM to
	// its exit. Unset when it was not seen: then it is the pod's own grace.
	// +optional
	ShutdownSeconds *int32 `json:"shutdownSeconds,omitempty"`
	// measuredWorkloads are those whose pods gave requests to the latency, such
	// as Deployment/web, at most 64. With latency.podMetrics the pods of all
	// others never get less than their own grace. Unset with latency.prometheus,
	// whose query may be about any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=317
	MeasuredWorkloads []string `json:"measuredWorkloads,omitempty"`
	// recommendedSeconds is the grace for new pods that have no hook of their
	// own. In mode Observe they would get it.
	// +optional
	RecommendedSeconds int32 `json:"recommendedSeconds"`
	// appliedSeconds is the grace of the newest pod that the policy covers.
	// +optional
	AppliedSeconds *int32 `json:"appliedSeconds,omitempty"`
	// reason shows how it was worked out, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// raisedAt is when a drain that did not end in time last raised it.
	// +optional
	RaisedAt *metav1.Time `json:"raisedAt,omitempty"`
}

// Trend of the requests in flight during a hold.
// +kubebuilder:validation:Enum=Falling;Steady
type Trend string

const (
	// TrendFalling: they were becoming fewer to the end: more time would have helped.
	TrendFalling Trend = "Falling"
	// TrendSteady: they were not, as with a counter that leaks.
	TrendSteady Trend = "Steady"
)

// DrainingPod is a pod that is terminating.
type DrainingPod struct {
	// name of the pod.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the pod.
	// +required
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// since is when its deletion was accepted.
	// +required
	Since metav1.Time `json:"since"`
}

// WaitingFor is what a held pod waits for.
// +kubebuilder:validation:Enum=Budget;Rotation;Requests;Status;Eviction
type WaitingFor string

const (
	// WaitingForBudget: its disruption budget does not allow to take it out of rotation.
	WaitingForBudget WaitingFor = "Budget"
	// WaitingForRotation: it is being taken out of rotation.
	WaitingForRotation WaitingFor = "Rotation"
	// WaitingForRequests: something is in flight.
	WaitingForRequests WaitingFor = "Requests"
	// WaitingForStatus: its drain status cannot be read, and the policy says Hold.
	WaitingForStatus WaitingFor = "Status"
	// WaitingForEviction: it has drained, and its disruption budget refuses the eviction.
	WaitingForEviction WaitingFor = "Eviction"
)

// HeldPod is a pod whose deletion or eviction is refused for the time being.
type HeldPod struct {
	// name of the pod.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the pod.
	// +required
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// since is when its deletion or eviction was first refused.
	// +required
	Since metav1.Time `json:"since"`
	// until is when it is let go at the latest.
	// +required
	Until metav1.Time `json:"until"`
	// waitingFor is what it is held for; unset until the leader has seen it.
	// +optional
	WaitingFor WaitingFor `json:"waitingFor,omitempty"`
}

// SkippedPods counts pods that are left alone for one reason.
type SkippedPods struct {
	// reason is why they are left alone.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason"`
	// pods is how many.
	// +required
	Pods int32 `json:"pods"`
}

// DrainCounts counts drains by outcome.
type DrainCounts struct {
	// drained counts the outcome Drained.
	// +optional
	Drained int64 `json:"drained"`
	// timedOut counts the outcome TimedOut.
	// +optional
	TimedOut int64 `json:"timedOut"`
	// forced counts the outcome Forced.
	// +optional
	Forced int64 `json:"forced"`
	// skipped counts the outcome Skipped.
	// +optional
	Skipped int64 `json:"skipped"`
	// unknown counts the outcome Unknown.
	// +optional
	Unknown int64 `json:"unknown"`
}

// DrainRecord is what became of one drain.
type DrainRecord struct {
	// pod is the pod's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Pod string `json:"pod"`
	// uid of the pod.
	// +required
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// outcome of the drain.
	// +required
	Outcome Outcome `json:"outcome"`
	// cause of the outcome, in one word that programs can rely on.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cause Cause `json:"cause,omitempty"`
	// reason says why in words that a person understands.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason,omitempty"`
	// durationSeconds from the accepted deletion to the end of the last container, rounded up.
	// +optional
	DurationSeconds int32 `json:"durationSeconds"`
	// propagationSeconds is when the pod was taken to be out of rotation, from
	// the start of its hook, rounded up: propagationMaxSeconds when it was not
	// seen to be by then. Unset when the hold ended before.
	// +optional
	PropagationSeconds *int32 `json:"propagationSeconds,omitempty"`
	// drainSeconds is how long requests in flight were waited for after that,
	// rounded up.
	// +optional
	DrainSeconds *int32 `json:"drainSeconds,omitempty"`
	// shutdownSeconds from SIGTERM to the exit of the process, rounded up.
	// Unset when it was not seen.
	// +optional
	ShutdownSeconds *int32 `json:"shutdownSeconds,omitempty"`
	// inFlight is how many requests were left when the hold ended.
	// +optional
	InFlight int64 `json:"inFlight,omitempty"`
	// inFlightTrend says whether they were becoming fewer. Only where some were left.
	// +optional
	InFlightTrend Trend `json:"inFlightTrend,omitempty"`
	// oldestLongLivedSeconds is how old the oldest long-lived connection was
	// when the drain began, rounded up. Unset where the workload does not tell,
	// or has none.
	// +optional
	OldestLongLivedSeconds *int32 `json:"oldestLongLivedSeconds,omitempty"`
	// endedAt is when the last container ended, or when the pod was seen to be gone.
	// +required
	EndedAt metav1.Time `json:"endedAt"`
}
