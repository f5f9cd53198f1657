package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	// ResultPrefix starts the agent's line in the termination message.
	ResultPrefix = "drain-operator: "

	// MaxResultBytes bounds that line, its newline included: all containers
	// of a pod share 12 KiB of termination messages.
	MaxResultBytes = 256
)

// Outcomes that the agent can tell. The API has the same names; Forced is seen
// only from outside.
const (
	OutcomeDrained  = "Drained"
	OutcomeTimedOut = "TimedOut"
	OutcomeSkipped  = "Skipped"
	OutcomeUnknown  = "Unknown"
)

// Trends of what was in flight once the pod was out of rotation. The API has
// the same names.
const (
	// TrendFalling: it was becoming less to the end.
	TrendFalling = "Falling"
	// TrendSteady: it was not.
	TrendSteady = "Steady"
)

// What became of a stop signal, where it was not sent.
const (
	// StopNotOurs: process 1 is not the container's own.
	StopNotOurs = "NotOurs"
	// StopNotAllowed: process 1 belongs to another user.
	StopNotAllowed = "NotAllowed"
	// StopNotKnown: the agent knows no signal of that name.
	StopNotKnown = "NotKnown"
	// StopNotHandled: process 1 does not listen to the signal, and the kernel
	// would drop it.
	StopNotHandled = "NotHandled"
)

// Result is how a hold ended, as the agent saw it. Times are seconds from the
// start of the hook, but for EndedUnix.
type Result struct {
	Outcome string `json:"outcome"`
	// HeldSeconds is how long the signal to end was held back: SIGTERM, or the
	// stop signal.
	HeldSeconds float64 `json:"held"`
	// RotationSeconds is when the pod was seen to be out of rotation; 0 if it was not.
	RotationSeconds float64 `json:"rotation,omitempty"`
	// InFlight is what was left.
	InFlight int64 `json:"inFlight,omitempty"`
	// Trend of what was in flight; empty where nothing was left, or too little
	// was seen to say.
	Trend string `json:"trend,omitempty"`
	// LastHookSeconds is the part of HeldSeconds that the container's own hook
	// took at the end; 0 where none ran last.
	LastHookSeconds float64 `json:"lastHook,omitempty"`
	// OldestSeconds is how old the oldest long-lived connection was when the hold
	// began, in whole seconds; 0 where there was none, or that is not known.
	OldestSeconds int64 `json:"oldest,omitempty"`
	// EndedUnix is when the hold ended, in Unix seconds with milliseconds by
	// the node's clock, as the container's finishedAt is. 0 from agents that
	// did not tell.
	EndedUnix float64 `json:"ended,omitempty"`
	// Stop is the signal that was sent to the container's first process, or why
	// none was; empty where none was asked for.
	Stop string `json:"stop,omitempty"`
	// Reason says why in a few words; empty when drained.
	Reason string `json:"reason,omitempty"`
}

// Line renders the result for the termination log, newline included, never
// longer than MaxResultBytes: the reason is cut to fit.
func (r Result) Line() string {
	// A reason may quote the workload, and must not look like a result.
	r.Reason = strings.ReplaceAll(r.Reason, ResultPrefix, "drain-operator; ")
	r.HeldSeconds, r.RotationSeconds = round(r.HeldSeconds), round(r.RotationSeconds)
	r.LastHookSeconds = round(r.LastHookSeconds)
	for {
		encoded, err := json.Marshal(r)
		if err != nil { // a float that is no number
			return ResultPrefix + `{"outcome":"Unknown","held":0,"reason":"result not encodable"}` + "\n"
		}
		line := ResultPrefix + string(encoded) + "\n"
		over := len(line) - MaxResultBytes
		if over <= 0 || r.Reason == "" {
			return line
		}
		r.Reason = strings.ToValidUTF8(r.Reason[:max(0, len(r.Reason)-over)], "")
	}
}

// round keeps milliseconds.
func round(seconds float64) float64 { return float64(int64(seconds*1000+0.5)) / 1000 }

// ParseMessage finds the last result in a container's termination message,
// which the workload may have written to as well. ok is false when there is
// none; a line with our prefix that does not parse is an error.
func ParseMessage(message string) (result Result, ok bool, err error) {
	start := strings.LastIndex(message, ResultPrefix)
	if start < 0 {
		return Result{}, false, nil
	}
	line, _, _ := strings.Cut(message[start+len(ResultPrefix):], "\n")
	if len(line) > MaxResultBytes {
		return Result{}, true, fmt.Errorf("the result is %d bytes long, at most %d are taken", len(line), MaxResultBytes)
	}
	if err := json.Unmarshal([]byte(line), &result); err != nil {
		return Result{}, true, fmt.Errorf("reading the result: %w", err)
	}
	switch result.Outcome {
	case OutcomeDrained, OutcomeTimedOut, OutcomeSkipped, OutcomeUnknown:
	default:
		return Result{}, true, fmt.Errorf("unknown outcome %q", result.Outcome)
	}
	if result.HeldSeconds < 0 || result.RotationSeconds < 0 || result.InFlight < 0 || result.LastHookSeconds < 0 || result.OldestSeconds < 0 || result.EndedUnix < 0 {
		return Result{}, true, errors.New("negative figures in the result")
	}
	return result, true, nil
}
