// Package hold is what the plan and the agent say to each other: the settings
// of a hold, which the plan writes into the hook's command, and the line in
// which the agent says how the hold ended. It is pure and imports only the
// standard library, since it is part of the binary that runs in pods.
package hold

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

const (
	// AgentDir is where the agent's binary is mounted in an injected container.
	AgentDir = "/drain-operator"

	// AgentPath is the agent's binary in an injected container.
	AgentPath = AgentDir + "/drain-agent"

	// flagSpec precedes the encoded Spec in the hook's command.
	flagSpec = "--hold"
)

// Role of a container in its pod's drain.
type Role string

const (
	// RoleServe waits until the pod has drained.
	RoleServe Role = "Serve"
	// RoleFollow waits until the listeners of the serving containers are
	// gone: a proxy beside the app outlives it.
	RoleFollow Role = "Follow"
)

// ReleaseWhen mirrors the API's values.
const (
	ReleaseWhenDrained       = "Drained"
	ReleaseWhenOutOfRotation = "OutOfRotation"
)

// LongLivedPolicy mirrors the API's values; Exclude is no LongLived at all.
const (
	LongLivedWait       = "Wait"
	LongLivedCloseAfter = "CloseAfter"
)

// Spec is everything a hold needs to know; the agent asks nobody else.
// Times are whole seconds.
type Spec struct {
	Role Role `json:"role"`

	// ReleaseWhen is Drained or OutOfRotation.
	ReleaseWhen string `json:"releaseWhen"`

	// PropagationSeconds is the least, PropagationMaxSeconds the most time
	// until the pod counts as out of rotation.
	PropagationSeconds    int32 `json:"propagationSeconds"`
	PropagationMaxSeconds int32 `json:"propagationMaxSeconds"`

	// BoundSeconds is when the hold ends whatever is still in flight,
	// counted from the start of the hook, an existing hook included.
	BoundSeconds int32 `json:"boundSeconds"`

	// At most one of HTTP and TCP. Neither: only rotation is waited for.
	HTTP *HTTP `json:"http,omitempty"`
	TCP  *TCP  `json:"tcp,omitempty"`

	Notify *Notify `json:"notify,omitempty"`

	// LongLived says what part long-lived connections have in drained; nil:
	// none. Only an HTTP status tells them from requests.
	LongLived *LongLived `json:"longLived,omitempty"`

	// ServePorts are the TCP ports on which the pod's work arrives; none
	// means every port that it listens on. Rotation is seen on them, and a
	// RoleFollow container waits for their listeners to go.
	ServePorts []int32 `json:"servePorts,omitempty"`

	// Blind says that the sockets tell nothing about rotation: host network,
	// or the redirects of a mesh proxy.
	Blind bool `json:"blind,omitempty"`

	// ReadinessProbes go on while the pod terminates and are not traffic.
	ReadinessProbes []Probe `json:"readinessProbes,omitempty"`

	// Alive is the container's own liveness (or else startup) probe. While it
	// fails, the hook runs because the kubelet restarts a dead container, and
	// there is nothing to wait for.
	Alive *Probe `json:"alive,omitempty"`

	// Existing is the container's own hook, which the agent runs first or last.
	Existing *ExistingHook `json:"existing,omitempty"`

	// Stop is the signal that follows the hold; nil: SIGTERM alone.
	Stop *Stop `json:"stop,omitempty"`

	// TerminationLog is the path of the container's termination message.
	TerminationLog string `json:"terminationLog"`

	// LogsOnError says that the container falls back to its logs for a
	// termination message: the agent then writes nothing when it drained.
	LogsOnError bool `json:"logsOnError,omitempty"`
}

// HTTP is a drain-status endpoint in the pod.
type HTTP struct {
	Port           int32             `json:"port"`
	Path           string            `json:"path"`
	Scheme         string            `json:"scheme"` // HTTP or HTTPS
	TimeoutSeconds int32             `json:"timeoutSeconds"`
	PeriodSeconds  int32             `json:"periodSeconds"`
	DrainedWhen    string            `json:"drainedWhen"` // Body, StatusCode or Metric
	Metric         string            `json:"metric,omitempty"`
	MatchLabels    map[string]string `json:"matchLabels,omitempty"`
}

// TCP reads the drain status from the pod's connections on Spec.ServePorts.
type TCP struct {
	IdleSeconds int32 `json:"idleSeconds"`
}

// Notify is where the workload wants to be told.
type Notify struct {
	Port   int32  `json:"port"`
	Path   string `json:"path"`
	Scheme string `json:"scheme,omitempty"` // HTTP (default) or HTTPS
}

// LongLived mirrors the API's field.
type LongLived struct {
	// Policy is Wait or CloseAfter.
	Policy string `json:"policy"`
	// NoticeSeconds is over which time the workload is to tell their clients,
	// from PropagationSeconds after it was told itself.
	NoticeSeconds int32 `json:"noticeSeconds"`
}

// Probe is a probe of the kubelet. One of HTTPPath (with Port), Exec or Port
// alone (TCP connect, or gRPC when GRPC is set) says how it is made.
type Probe struct {
	Port             int32    `json:"port,omitempty"`
	Host             string   `json:"host,omitempty"`
	HTTPPath         string   `json:"httpPath,omitempty"`
	Scheme           string   `json:"scheme,omitempty"`
	Headers          []Header `json:"headers,omitempty"`
	Exec             []string `json:"exec,omitempty"`
	GRPC             bool     `json:"grpc,omitempty"`
	PeriodSeconds    int32    `json:"periodSeconds"`
	TimeoutSeconds   int32    `json:"timeoutSeconds"`
	FailureThreshold int32    `json:"failureThreshold"`
}

// Header of an HTTP probe or hook.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ExistingHook is a container's own preStop hook. One of Exec, HTTPPath (with
// Port) and SleepSeconds says what it does.
type ExistingHook struct {
	Last         bool     `json:"last,omitempty"` // else first
	Exec         []string `json:"exec,omitempty"`
	SleepSeconds int64    `json:"sleepSeconds,omitempty"`
	Host         string   `json:"host,omitempty"` // empty: the pod's address
	Port         int32    `json:"port,omitempty"`
	HTTPPath     string   `json:"httpPath,omitempty"`
	Scheme       string   `json:"scheme,omitempty"`
	Headers      []Header `json:"headers,omitempty"`
}

// Stop is a signal to the container's first process, on which that ends softly.
type Stop struct {
	// Signal is its name, such as SIGQUIT. One that the agent does not know, a
	// newer operator's, is not sent: to refuse the hold for it would be worse.
	Signal string `json:"signal"`
	// UntilSeconds is when SIGTERM follows at the latest, from the start of the hook.
	UntilSeconds int32 `json:"untilSeconds"`
}

// Command is the exec command of the hook.
func (s Spec) Command() ([]string, error) {
	encoded, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the hold: %w", err)
	}
	return []string{AgentPath, "wait", flagSpec, string(encoded)}, nil
}

// IsAgentCommand reports whether a hook's command is one that Command made.
func IsAgentCommand(command []string) bool {
	return len(command) == 4 && slices.Equal(command[:3], []string{AgentPath, "wait", flagSpec})
}

// ParseCommand reads back what Command wrote.
func ParseCommand(command []string) (Spec, error) {
	if !IsAgentCommand(command) {
		return Spec{}, errors.New("not a command of the drain agent")
	}
	return Parse(command[3])
}

// Parse reads an encoded Spec. Unknown fields are refused: they would be
// settings that somebody relies on and nobody keeps.
func Parse(encoded string) (Spec, error) {
	return parse(encoded, (*json.Decoder).DisallowUnknownFields)
}

// ParseNewer reads an encoded Spec of a newer version, too: what is not known
// is left out, and unknown says what. For the agent in a hook, where to refuse
// would be to have SIGTERM sent at once.
func ParseNewer(encoded string) (spec Spec, unknown, err error) {
	spec, unknown = Parse(encoded)
	if unknown == nil {
		return spec, nil, nil
	}
	if spec, err = parse(encoded, func(*json.Decoder) {}); err != nil {
		return Spec{}, nil, unknown
	}
	return spec, unknown, nil
}

func parse(encoded string, configure func(*json.Decoder)) (Spec, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(encoded)))
	configure(decoder)
	var spec Spec
	if err := decoder.Decode(&spec); err != nil {
		return Spec{}, fmt.Errorf("reading the hold: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Spec{}, errors.New("reading the hold: more follows its end")
	}
	return spec, spec.validate()
}

func (s Spec) validate() error {
	switch {
	case s.Role != RoleServe && s.Role != RoleFollow:
		return fmt.Errorf("role %q is neither %s nor %s", s.Role, RoleServe, RoleFollow)
	case s.ReleaseWhen != ReleaseWhenDrained && s.ReleaseWhen != ReleaseWhenOutOfRotation:
		return fmt.Errorf("releaseWhen %q is neither %s nor %s", s.ReleaseWhen, ReleaseWhenDrained, ReleaseWhenOutOfRotation)
	case s.HTTP != nil && s.TCP != nil:
		return errors.New("at most one of http and tcp may be set")
	case s.LongLived != nil && s.LongLived.Policy != LongLivedWait && s.LongLived.Policy != LongLivedCloseAfter:
		return fmt.Errorf("longLived.policy %q is neither %s nor %s", s.LongLived.Policy, LongLivedWait, LongLivedCloseAfter)
	case s.LongLived != nil && s.LongLived.NoticeSeconds < 0:
		return errors.New("longLived.noticeSeconds must not be negative")
	case s.Stop != nil && s.Stop.UntilSeconds < 0:
		return errors.New("stop.untilSeconds must not be negative")
	case s.BoundSeconds < 0 || s.PropagationSeconds < 0 || s.PropagationMaxSeconds < 0:
		return errors.New("seconds must not be negative")
	}
	return nil
}
