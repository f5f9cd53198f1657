package load

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// Config says what to send, how often and where to.
type Config struct {
	// Target is the address of the work, "http://10.96.1.2:80/work". Its host
	// is a literal IP: name lookups would add failures that are not the
	// workload's. The work's duration is added as the query "ms=40".
	Target string `json:"target"`
	// AwaitSeconds is how long the target may take to accept a first connection
	// before the run begins: a Service that was just made is not known to every
	// node. 0 begins at once.
	AwaitSeconds int `json:"awaitSeconds,omitempty"`
	// SpreadPorts takes source ports in turn, so that none comes back for more
	// than 60,000 connections; the kernel's choice comes back after a few
	// thousand. Within two minutes a node's connection tracking may still lead a
	// port to the pod that it was used with before, gone or not: a failure that
	// a rollout did not make. For a network namespace of one's own.
	SpreadPorts bool `json:"spreadPorts,omitempty"`
	// DurationSeconds ends the run; 0 goes on until it is stopped.
	DurationSeconds int `json:"durationSeconds,omitempty"`
	// FreshPerSecond is the rate of requests on a connection of their own.
	FreshPerSecond float64 `json:"freshPerSecond,omitempty"`
	// KeepAlivePerSecond is the rate of requests that share KeepAliveConns
	// persistent connections, the longest unused one first.
	KeepAlivePerSecond float64 `json:"keepAlivePerSecond,omitempty"`
	KeepAliveConns     int     `json:"keepAliveConns,omitempty"`
	// BusyConns is the number of persistent connections that carry one request
	// right after the other: their rate follows the answers.
	BusyConns int `json:"busyConns,omitempty"`
	// RPCConns is the number of clients of gRPC that call example.Work/Do of the
	// target's host, one RPC right after the other, with the work as its argument.
	RPCConns int `json:"rpcConns,omitempty"`
	// WebSockets is the number of clients that hold a WebSocket to /ws of the
	// target's host open, on which they send messages that are to come back.
	WebSockets int `json:"webSockets,omitempty"`
	// EventStreams is the number of clients that hold GET /events open. A stream
	// that is silent for as long as the slack counts as timed out.
	EventStreams int `json:"eventStreams,omitempty"`
	// MessageEveryMillis is the time between two messages of a WebSocket's
	// client, 1000 where 0.
	MessageEveryMillis int `json:"messageEveryMillis,omitempty"`
	// PostPercent is the share of POST requests; the others are GET.
	PostPercent int  `json:"postPercent"`
	Work        Work `json:"work"`
	// Seed makes times, methods and durations of a run repeatable.
	Seed uint64 `json:"seed"`
	// MaxOutstanding bounds the requests under way per stream. What would go
	// beyond it is counted as not sent, which no result may contain.
	MaxOutstanding int `json:"maxOutstanding,omitempty"`
	// SlackSeconds is how much longer than its work a request may take before
	// it counts as timed out.
	SlackSeconds int `json:"slackSeconds,omitempty"`
}

// Work is the distribution of how long the workload works on a request:
// log-normal, clipped. All in milliseconds.
type Work struct {
	MinMillis    int `json:"minMillis"`
	MedianMillis int `json:"medianMillis"`
	P99Millis    int `json:"p99Millis"`
	MaxMillis    int `json:"maxMillis"`
}

// Mixed is load as a busy service sees it: about 240 requests a second, half of
// them on fresh connections, half GET and half POST, of 5 ms to 5 s.
func Mixed(target string) Config {
	return Config{
		Target:             target,
		FreshPerSecond:     120,
		KeepAlivePerSecond: 100,
		KeepAliveConns:     40,
		BusyConns:          4,
		PostPercent:        50,
		Work:               Work{MinMillis: 5, MedianMillis: 40, P99Millis: 2000, MaxMillis: 5000},
		Seed:               1,
	}
}

// withDefaults fills in the bounds that a caller need not think about.
func (c Config) withDefaults() Config {
	if c.MaxOutstanding == 0 {
		c.MaxOutstanding = 2000
	}
	if c.SlackSeconds == 0 {
		c.SlackSeconds = 10
	}
	if c.KeepAlivePerSecond > 0 && c.KeepAliveConns == 0 {
		c.KeepAliveConns = 40
	}
	if c.MessageEveryMillis == 0 {
		c.MessageEveryMillis = 1000
	}
	if c.Work == (Work{}) {
		c.Work = Mixed("").Work
	}
	return c
}

// check tells what is wrong with a configuration, all of it at once.
func (c Config) check() error {
	var errs []error
	if _, err := c.address(); err != nil {
		errs = append(errs, err)
	}
	if c.FreshPerSecond < 0 || c.KeepAlivePerSecond < 0 || min(c.BusyConns, c.KeepAliveConns, c.RPCConns, c.WebSockets, c.EventStreams, c.MessageEveryMillis) < 0 {
		errs = append(errs, errors.New("rates and numbers of connections must not be negative"))
	}
	if c.FreshPerSecond == 0 && c.KeepAlivePerSecond == 0 && max(c.BusyConns, c.RPCConns, c.WebSockets, c.EventStreams) == 0 {
		errs = append(errs, errors.New("nothing to send: every rate is 0"))
	}
	if c.PostPercent < 0 || c.PostPercent > 100 {
		errs = append(errs, fmt.Errorf("postPercent is %d, not 0 to 100", c.PostPercent))
	}
	w := c.Work
	if w.MinMillis <= 0 || w.MedianMillis < w.MinMillis || w.P99Millis < w.MedianMillis || w.MaxMillis < w.P99Millis || w.MaxMillis > 60_000 {
		errs = append(errs, fmt.Errorf("work must be 0 < min ≤ median ≤ p99 ≤ max ≤ 60000 ms, not %+v", w))
	}
	return errors.Join(errs...)
}

// address is the target's IP and port.
func (c Config) address() (netip.AddrPort, error) {
	u, err := url.Parse(c.Target)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("target: %w", err)
	}
	if u.Scheme != "http" {
		return netip.AddrPort{}, fmt.Errorf("target %q: only http is spoken", c.Target)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	addr, err := netip.ParseAddrPort(net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("target %q: the host must be a literal IP: %w", c.Target, err)
	}
	return addr, nil
}

func (c Config) duration() time.Duration { return time.Duration(c.DurationSeconds) * time.Second }
func (c Config) messageEvery() time.Duration {
	return time.Duration(c.MessageEveryMillis) * time.Millisecond
}
func (c Config) slack() time.Duration { return time.Duration(c.SlackSeconds) * time.Second }
