package guarantees

import (
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// End is the end of one pod.
type End struct {
	Held time.Duration
	// Outcome as the agent said it, empty where none did.
	Outcome string
	// Killed: its server was ended by SIGKILL.
	Killed bool
}

// Aggregate makes a cell of what the load generator saw while some pods ended.
func Aggregate(key Key, results load.Results, ends []End) Cell {
	c := Cell{Key: key, At: results.StartedAt.UTC().Format(time.DateOnly), TookSeconds: int(results.Elapsed.Seconds()),
		LateMillis: int(results.MaxLag.Milliseconds()), Pods: len(ends)}
	var times []time.Duration
	for _, e := range ends {
		times = append(times, e.Held)
		c.count(e.Outcome)
		if e.Killed {
			c.count("killed")
		}
	}
	c.Held = SpreadOf(times)
	for _, client := range []struct {
		client Client
		kind   load.Kind
	}{{Fresh, load.Fresh}, {Busy, load.Busy}} {
		tally := results.Tally(func(r load.Record) bool { return r.Kind == client.kind })
		if tally.Requests > 0 {
			c.Clients = append(c.Clients, seen(client.client, tally))
		}
	}
	if t := results.SessionTally(load.WebSocket); t.Sessions() > 0 {
		c.Clients = append(c.Clients, held(WebSocket, t.Sent, t, clients(results, load.WebSocket)))
	}
	if t := results.SessionTally(load.EventStream); t.Sessions() > 0 {
		c.Clients = append(c.Clients, held(EventStream, t.Sessions(), t, clients(results, load.EventStream)))
	}
	return c
}

// clients is how many hold connections of a kind.
func clients(results load.Results, kind load.SessionKind) int {
	known := map[int]bool{}
	for _, s := range results.Sessions {
		if s.Kind == kind {
			known[s.Client] = true
		}
	}
	return len(known)
}

// held is what clients of long-lived connections saw. That one was told and
// then cut is no failure as long as no message was lost by it. The load ends a
// while after the last pod: by then each client is to be connected again.
func held(client Client, requests int, t load.SessionTally, clients int) Seen {
	s := Seen{Client: client, Requests: requests, Ended: t.Told + t.Untold, Told: t.Told}
	s.fail(CutUntold, t.Untold)
	s.fail(Lost, t.Lost)
	s.fail(NotBack, max(0, clients-t.Kept))
	return s
}

func (c *Cell) count(outcome string) {
	if outcome == "" {
		return
	}
	if c.Outcomes == nil {
		c.Outcomes = map[string]int{}
	}
	c.Outcomes[outcome]++
}

func seen(client Client, t load.Tally) Seen {
	s := Seen{Client: client, Requests: t.Requests}
	for _, cause := range load.Failures() {
		s.fail(cause.String(), t.ByCause[cause])
	}
	return s
}

func (s *Seen) fail(cause string, n int) {
	if n == 0 {
		return
	}
	if s.Failures == nil {
		s.Failures = map[string]int{}
	}
	s.Failures[cause] += n
}
