package v1alpha1

// Condition types of a DrainPolicy. Each is set on the first visit, with
// observedGeneration.
const (
	// ConditionReady is True only after a dry-run pod of the namespace came
	// back from the API server injected. Under mode Observe: after it came
	// back not injected.
	ConditionReady = "Ready"

	// ConditionPodsInjected is True when every selected pod carries this
	// policy's settings of its current generation, or is left alone for a reason.
	ConditionPodsInjected = "PodsInjected"

	// ConditionConflicting is True when another policy wins pods that this one selects.
	ConditionConflicting = "Conflicting"

	// ConditionAgentInstallable is False while pods of the namespace get the
	// native sleep hook, because the agent's image or container was refused
	// or could not be pulled.
	ConditionAgentInstallable = "AgentInstallable"

	// ConditionDrainStatusReachable says whether the drain status can be read:
	// by the agents of the last drains, Unknown until a pod has drained; under
	// hold Deletion by the operator, Unknown until a pod could be asked. That
	// hold takes effect only while it is True.
	ConditionDrainStatusReachable = "DrainStatusReachable"

	// ConditionLatencyObserved is True while the grace stands on the latency
	// of enough requests; Unknown when no source of it is asked for.
	ConditionLatencyObserved = "LatencyObserved"

	// ConditionGraceWithinCeilings is False when the recommended grace is
	// longer than what the platform is known to wait for.
	ConditionGraceWithinCeilings = "GraceWithinCeilings"

	// ConditionHoldWithinDeadlines is False while a Deployment gives a rollout
	// less time than one pod may be held; Unknown without hold Deletion.
	ConditionHoldWithinDeadlines = "HoldWithinDeadlines"

	// ConditionServerStopsInTime is False when a server that is recognised by
	// its container's command is known to cut requests that are in flight when
	// the policy lets go of its pod; Unknown where no server is recognised, or
	// what it does cannot be seen from the pod.
	ConditionServerStopsInTime = "ServerStopsInTime"

	// ConditionFrontsCovered is False while an AWS load balancer that is
	// declared in front of the pods takes longer to let go of one than the
	// policy gives it, or less time than requests need; Unknown where there is
	// none.
	ConditionFrontsCovered = "FrontsCovered"

	// ConditionConnectionsYoungEnough is False while long-lived connections
	// get as old as the time between two deployments, so that each deployment
	// meets them; Unknown until drains have met any.
	ConditionConnectionsYoungEnough = "ConnectionsYoungEnough"
)

// Reasons of the conditions, by condition.
const (
	// Ready.
	ReasonNotYetChecked     = "NotYetChecked"
	ReasonUnsatisfiable     = "SelectorMatchesNoPod"
	ReasonInjectionWorks    = "InjectionWorks"
	ReasonInjectionDisabled = "InjectionDisabled"
	ReasonNotInjected       = "NotInjected"
	ReasonDryRunRefused     = "DryRunRefused"
	ReasonNamespaceExcluded = "NamespaceExcluded"
	ReasonObserving         = "Observing"

	// PodsInjected.
	ReasonAllInjected = "AllInjected"
	ReasonNoPods      = "NoPods"
	ReasonOlderPods   = "OlderPods"
	ReasonPodsSkipped = "PodsSkipped"

	// Conflicting.
	ReasonNoConflict = "NoConflict"
	ReasonOutranked  = "Outranked"

	// AgentInstallable.
	ReasonInstallable     = "Installable"
	ReasonImagePull       = "ImageCannotBePulled"
	ReasonPodsRefused     = "PodsRefused"
	ReasonTryingAgain     = "TryingAgain"
	ReasonRecovered       = "Recovered"
	ReasonNotNeeded       = "NotNeeded"
	ReasonNotYetTried     = "NotYetTried"
	ReasonEmptyDirAvoided = "EmptyDirAvoided"

	// DrainStatusReachable.
	ReasonStatusRead   = "StatusRead"
	ReasonStatusFailed = "StatusFailed"
	ReasonNoDrainYet   = "NoDrainYet"

	// LatencyObserved.
	ReasonLatencySeen        = "LatencySeen"
	ReasonNotAskedFor        = "NotAskedFor"
	ReasonNotYetSeen         = "NotYetSeen"
	ReasonTooFewRequests     = "TooFewRequests"
	ReasonHistogramTooCoarse = "HistogramTooCoarse"
	ReasonNoData             = "NoData"
	ReasonNoPodAnswered      = "NoPodAnswered"
	ReasonSourceUnknown      = "SourceUnknown"
	ReasonSourceUnavailable  = "SourceUnavailable"
	ReasonQueryInvalid       = "QueryInvalid"
	ReasonAnswerUnusable     = "AnswerUnusable"

	// GraceWithinCeilings.
	ReasonWithinCeilings   = "WithinCeilings"
	ReasonOverNodeRemoval  = "OverNodeRemovalWait"
	ReasonOverSpotNotice   = "OverSpotNotice"
	ReasonNoRecommendation = "NoRecommendation"

	// HoldWithinDeadlines.
	ReasonWithinDeadlines      = "WithinDeadlines"
	ReasonOverProgressDeadline = "OverProgressDeadline"
	ReasonNotHoldingDeletions  = "NotHoldingDeletions"

	// ServerStopsInTime.
	ReasonNothingInFlight      = "NothingInFlight"
	ReasonTimeoutsLongEnough   = "TimeoutsLongEnough"
	ReasonTimeoutTooShort      = "ServerTimeoutTooShort"
	ReasonServerEndsAtOnce     = "ServerEndsAtOnce"
	ReasonStopSignalWrong      = "StopSignalWrong"
	ReasonStopSignalNotSent    = "StopSignalNotSent"
	ReasonTimeoutUnknown       = "ServerTimeoutUnknown"
	ReasonStopSignalUnknown    = "StopSignalUnknown"
	ReasonAlignedAtNextRollout = "AlignedAtNextRollout"
	ReasonNoServerSeen         = "NoServerSeen"

	// DrainStatusReachable under hold Deletion.
	ReasonStatusAnswered = "StatusAnswered"
	ReasonStatusNoAnswer = "StatusNotAnswered"
	ReasonNoPodToAsk     = "NoPodToAsk"

	// FrontsCovered.
	ReasonFrontsInTime        = "FrontsInTime"
	ReasonNoFront             = "NoFront"
	ReasonPropagationTooShort = "PropagationTooShort"
	ReasonGraceTooShort       = "GraceTooShort"
	ReasonDelayTooShort       = "DelayTooShort"

	// ConnectionsYoungEnough.
	ReasonYoungEnough        = "YoungEnough"
	ReasonAsOldAsDeployments = "AsOldAsDeployments"
	ReasonNoneSeen           = "NoneSeen"
	ReasonNoDeployments      = "NoDeploymentsSeen"
)
