// Package guarantees is the table of what is guaranteed: server, load balancer,
// client and event, with the requests that were sent, those that failed and why,
// and how long pods were held. Package runner produces the cells on a cluster;
// what is here judges and renders them.
package guarantees

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Variant is what cooperates with the operator.
type Variant string

// The variants, in the order of the page.
const (
	// Covered: a DrainPolicy that suits the server, which is notified and says
	// what it owes.
	Covered Variant = "covered"
	// Bare: a DrainPolicy that looks at TCP connections; the server knows nothing.
	Bare Variant = "bare"
	// None: no DrainPolicy.
	None Variant = "none"
)

// Variants lists them in the order of the page.
func Variants() []Variant { return []Variant{Covered, Bare, None} }

// Operator is whether it runs while pods end.
type Operator string

// The states of the operator. Down: pods were created while it ran, and end
// while no replica does.
const (
	Up   Operator = "up"
	Down Operator = "down"
)

// Event is why pods end.
type Event string

// The events.
const (
	// Rollout: a rolling update of all pods, maxUnavailable 0.
	Rollout Event = "rollout"
	// ScaleDown: half of the pods go, and come back before the next time.
	ScaleDown Event = "scale-down"
	// Eviction: the pods are evicted one by one through the Eviction API.
	Eviction Event = "eviction"
)

// Events lists them in the order of the page.
func Events() []Event { return []Event{Rollout, ScaleDown, Eviction} }

// Client is how requests come.
type Client string

// The clients.
const (
	// Fresh: a connection of its own for each request.
	Fresh Client = "fresh"
	// Busy: connections that carry one request right after the other.
	Busy Client = "keep-alive"
	// WebSocket: messages that are sent back; each is a request.
	WebSocket Client = "WebSocket"
	// EventStream: server-sent events; each stream is a request.
	EventStream Client = "event stream"
)

// Clients lists them in the order of the page.
func Clients() []Client { return []Client{Fresh, Busy, WebSocket, EventStream} }

// LongLived says whether the client's connections do not end by themselves.
func (c Client) LongLived() bool { return c == WebSocket || c == EventStream }

// Key names a cell: what ran, behind what, and what happened.
type Key struct {
	Server   string   `json:"server"`
	Variant  Variant  `json:"variant"`
	Operator Operator `json:"operator"`
	Balancer string   `json:"balancer"`
	Event    Event    `json:"event"`
}

// String is the key in one line.
func (k Key) String() string {
	s := strings.Join([]string{k.Server, string(k.Variant), k.Balancer, string(k.Event)}, " · ")
	if k.Operator == Down {
		s += " · operator down"
	}
	return s
}

// Cell is what was seen under one key.
type Cell struct {
	Key
	// At is the day on which it was seen, TookSeconds how long that took.
	At          string `json:"at"`
	TookSeconds int    `json:"tookSeconds"`
	// LateMillis is by how much the latest request was sent later than planned:
	// what the machine had no time for.
	LateMillis int `json:"lateMillis"`
	// Pods is how many ended under load.
	Pods int `json:"pods"`
	// Held is the time of those from the accepted deletion to SIGTERM, or to
	// the end of the container where nobody told when that was.
	Held Spread `json:"held"`
	// Outcomes counts what the agent said of them; "killed" those that were
	// ended by SIGKILL.
	Outcomes map[string]int `json:"outcomes,omitempty"`
	Clients  []Seen         `json:"clients"`
}

// Seen is what one kind of client saw.
type Seen struct {
	Client Client `json:"client"`
	// Requests that were sent, or messages, or streams.
	Requests int `json:"requests"`
	// Failures by their cause, without those that did not occur.
	Failures map[string]int `json:"failures,omitempty"`
	// Ended is how many long-lived connections ended before the client's own
	// end, Told how many of those were told before.
	Ended int `json:"ended,omitempty"`
	Told  int `json:"told,omitempty"`
}

// Causes that only long-lived connections have, beside those of package load.
const (
	// CutUntold: the connection ended and the client had not been told.
	CutUntold = "cut untold"
	// Lost: a message that was sent and did not come back.
	Lost = "message lost"
	// NotBack: the client was not connected at the end.
	NotBack = "not back"
)

// Failed is the number of failures.
func (s Seen) Failed() int {
	n := 0
	for _, f := range s.Failures {
		n += f
	}
	return n
}

// Spread is of seconds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// SpreadOf is the spread of some times, in tenths of a second.
func SpreadOf(times []time.Duration) Spread {
	if len(times) == 0 {
		return Spread{}
	}
	times = slices.Sorted(slices.Values(times))
	tenths := func(d time.Duration) float64 {
		return float64(d.Round(100*time.Millisecond)/(100*time.Millisecond)) / 10
	}
	return Spread{Min: tenths(times[0]), Median: tenths(times[len(times)/2]), Max: tenths(times[len(times)-1])}
}

// Compare orders keys as the page does: variant and operator, balancer, server,
// event.
func Compare(a, b Key) int {
	return cmp.Or(
		cmp.Compare(slices.Index(Variants(), a.Variant), slices.Index(Variants(), b.Variant)),
		-cmp.Compare(a.Operator, b.Operator),
		cmp.Compare(a.Balancer, b.Balancer),
		cmp.Compare(a.Server, b.Server),
		cmp.Compare(slices.Index(Events(), a.Event), slices.Index(Events(), b.Event)),
	)
}
