// Package drainstatus is the drain-status protocol, version 1: what a workload
// says of the work it still owes, and how a reader judges the answer. The
// agent, the operator and the SDK share it. It is pure: no client, no clock.
// docs/protocol.md describes the protocol for whoever writes an endpoint.
package drainstatus

import "encoding/json"

// Version is the version of the protocol that this package speaks.
const Version = 1

// MaxBodyBytes bounds a drain status, a notification, and every answer but a
// metrics page. A longer body is a failure, never "drained".
const MaxBodyBytes = 64 << 10

// MaxWaitSeconds is the longest time that the SDK holds a long-polled answer,
// whatever the reader asks for.
const MaxWaitSeconds = 30

// MaxCount is the largest count that is believed: 2^53-1, the largest integer
// that every JSON implementation carries exactly.
const MaxCount = 1<<53 - 1

// Default places of the endpoints of the SDK.
const (
	DefaultPort       = 8089
	DefaultStatusPath = "/drain-status"
	DefaultNotifyPath = "/drain"
)

// WaitParameter is the query parameter by which a reader asks that an answer be
// held until drained, in whole seconds.
const WaitParameter = "waitSeconds"

// LongLivedParameter is the query parameter by which a reader asks that an
// answer be held until no long-lived connection is left, either.
const LongLivedParameter = "longLived"

// TokenHeader carries the pod's token on a notification, TokenEnv is the
// environment variable through which the plan passes the token to the workload.
const (
	TokenHeader = "Drain-Token"
	TokenEnv    = "DRAIN_OPERATOR_TOKEN"
)

// Status is what a workload says of itself.
type Status struct {
	// Version of the protocol, at present 1.
	Version int `json:"version"`
	// Draining says that the workload was told to drain, or began to by itself.
	Draining bool `json:"draining"`
	// InFlight counts requests that are still owed a response.
	InFlight int64 `json:"inFlight"`
	// LongLived counts WebSockets, event streams and the like; they are not
	// part of InFlight.
	LongLived int64 `json:"longLived"`
	// OldestInFlightSeconds is the age of the oldest request in flight, in
	// seconds; 0 where none is, or where it is not known.
	OldestInFlightSeconds float64 `json:"oldestInFlightSeconds"`
	// OldestLongLivedSeconds is the age of the oldest long-lived connection, in
	// seconds; 0 where there is none, or where it is not known.
	OldestLongLivedSeconds float64 `json:"oldestLongLivedSeconds"`
}

// Drained says whether nothing is owed any more, under the policy for long-lived
// connections as it stands.
func (s Status) Drained(longLived LongLived) bool {
	return s.InFlight == 0 && (s.LongLived == 0 || !longLived.Counts())
}

// Encode renders s as the JSON object of the protocol, with a final newline so
// that it reads well under curl. The version is always this package's own.
// It fails only where an age is NaN or infinite.
func Encode(s Status) ([]byte, error) {
	s.Version = Version
	body, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append(body, '\n'), nil
}
