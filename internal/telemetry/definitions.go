// Package telemetry holds the operator's Prometheus metrics. docs/metrics.md
// is generated from the definitions here.
package telemetry

// Kind of a metric.
type Kind string

// The kinds in use.
const (
	Counter   Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// Definition of a metric.
type Definition struct {
	Name   string
	Kind   Kind
	Labels []string
	Help   string
	// Notes are for the documentation only.
	Notes string
}

// Labels.
const (
	labelNamespace = "namespace"
	labelPolicy    = "policy"
	labelOutcome   = "outcome"
)

// Who counts: sums over the replicas are right in both cases.
const (
	leaderOnly  = "Counted by the leader only, once for each drain."
	eachReplica = "Each replica counts what it answers. Dry runs do not count."
)

var (
	drains = Definition{
		Name:   "drain_operator_drains_total",
		Kind:   Counter,
		Labels: []string{labelNamespace, labelPolicy, labelOutcome},
		Help:   "Drains that have ended, by outcome.",
		Notes:  leaderOnly + " Outcomes: Drained, TimedOut, Forced, Skipped, Unknown.",
	}
	duration = Definition{
		Name:   "drain_operator_drain_duration_seconds",
		Kind:   Histogram,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "Time from the accepted deletion of a pod to the end of its last container.",
		Notes:  leaderOnly + " Whole seconds. Drains whose end was not observed are not in it.",
	}
	draining = Definition{
		Name:   "drain_operator_draining_pods",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "Injected pods that are terminating now.",
		Notes:  "Set by the leader only.",
	}
	dropped = Definition{
		Name:  "drain_operator_drain_records_dropped_total",
		Kind:  Counter,
		Help:  "Ended drains that were forgotten before they could be counted, because too many were waiting for the API server.",
		Notes: "Each replica counts its own. Anything but 0 on the leader means that drains_total is too low.",
	}
	latencySeen = Definition{
		Name:   "drain_operator_request_latency_seconds",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "The percentile of the request latency that a policy asks for, as it was last seen.",
		Notes:  "Set by the leader only. Gone while it cannot be seen.",
	}
	residualSeen = Definition{
		Name:   "drain_operator_residual_latency_seconds",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "The same percentile of what requests in flight still need at any moment.",
		Notes:  "Set by the leader only. Gone while it cannot be seen.",
	}
	requestsSeen = Definition{
		Name:   "drain_operator_requests_in_window",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "Requests on which that percentile stands.",
		Notes:  "Set by the leader only. Gone while it cannot be seen.",
	}
	recommendedGrace = Definition{
		Name:   "drain_operator_recommended_grace_seconds",
		Kind:   Gauge,
		Labels: []string{labelNamespace, labelPolicy},
		Help:   "The grace that is recommended for new pods.",
		Notes:  "Set by the leader only.",
	}
	lookResults = Definition{
		Name:   "drain_operator_latency_looks_total",
		Kind:   Counter,
		Labels: []string{"result"},
		Help:   "Looks at the latency of a policy's pods, by result: Seen, or why nothing could be seen.",
		Notes:  "Counted by the leader only. Results are those of the condition LatencyObserved.",
	}
	lookDuration = Definition{
		Name:  "drain_operator_latency_look_duration_seconds",
		Kind:  Histogram,
		Help:  "Time that a look at the latency of one policy's pods took.",
		Notes: "Counted by the leader only.",
	}
	injections = Definition{
		Name:   "drain_operator_injections_total",
		Kind:   Counter,
		Labels: []string{"result"},
		Help:   "Pod creations that the injection webhook answered, by result: Injected, InjectedAgain (was injected before), Observed (would have been), Excluded, NotSelected, Failed.",
		Notes:  eachReplica,
	}
	exclusions = Definition{
		Name:   "drain_operator_injection_exclusions_total",
		Kind:   Counter,
		Labels: []string{"reason"},
		Help:   "Selected pods that were left alone when they were created, by reason.",
		Notes:  eachReplica,
	}
	notes = Definition{
		Name:   "drain_operator_injection_notes_total",
		Kind:   Counter,
		Labels: []string{"reason"},
		Help:   "Things that a person should know about injected pods, by reason.",
		Notes:  eachReplica,
	}
	answering = Definition{
		Name:  "drain_operator_injection_duration_seconds",
		Kind:  Histogram,
		Help:  "Time to answer a pod creation, from the decoded request to the answer.",
		Notes: eachReplica,
	}
	evictions = Definition{
		Name:   "drain_operator_evictions_total",
		Kind:   Counter,
		Labels: []string{"result"},
		Help:   "Evictions that the eviction webhook answered, by result: Lengthened (the pod gets the newer, longer grace), LongEnough, AskedFor (another grace than the pod's was asked for), NotConcerned, Failed.",
		Notes:  eachReplica + " An eviction that a PodDisruptionBudget refuses counts each time it is tried.",
	}
	gateRequests = Definition{
		Name:   "drain_operator_gate_requests_total",
		Kind:   Counter,
		Labels: []string{"kind", "reason"},
		Help:   "Deletions and evictions of injected pods that the gate answered, by kind (Delete, Evict) and by the rule that decided: NotDrained is refused, all others are allowed.",
		Notes:  eachReplica + " What is refused is mostly asked again and counts each time. docs/gate.md explains the rules. The API server asks only in namespaces with a policy whose gate holds deletions.",
	}
	gateRecords = Definition{
		Name:   "drain_operator_gate_records_total",
		Kind:   Counter,
		Labels: []string{"result"},
		Help:   "Refused requests that were to be written to their pod's condition deletion-requested, by result: Written (or the pod was gone by then), Failed (the API server did not take it), Dropped (too many were waiting).",
		Notes:  "Each replica counts its own. What is not written waits until it is asked for again.",
	}
)

// Definitions are all metrics of the operator itself, in the order of the
// documentation. Those of its libraries come on top.
var Definitions = []Definition{
	drains, duration, draining, dropped,
	latencySeen, residualSeen, requestsSeen, recommendedGrace, lookResults, lookDuration,
	injections, exclusions, notes, answering, evictions,
	probeResults, probeDuration, holdsEnded, holdDuration, heldPods, readinessGate,
	gateRequests, gateRecords,
	certificateNotBefore, certificateNotAfter,
}

// buckets of durations, in seconds: a drain takes from propagation (5) to the
// largest grace (3600).
var buckets = []float64{1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1200, 3600}
