package demo

import (
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// Restart is one rolling restart.
type Restart struct {
	// Start is when it was asked for, Complete when the Deployment was
	// complete, Last when the last old pod was gone.
	Start, Complete, Last time.Time
}

// Cell is everything that was seen of one workload under one treatment.
type Cell struct {
	Workload  string
	Treatment Treatment
	Load      load.Results
	Restarts  []Restart
	// Lives are those of the pods that existed while load was sent.
	Lives []Life
}

// Figures are a cell as one row of the table.
type Figures struct {
	Workload  string
	Treatment Treatment
	// Fresh and Persistent split the requests by their connections.
	Fresh, Persistent load.Tally
	// Judged is the traffic in which a policy may drop nothing.
	Judged     load.Tally
	JudgedWhat string
	// Rollout and LastGone are the longest of the restarts, from their start.
	Rollout, LastGone time.Duration
	// Held is how long pods were held, over all old pods.
	Held Spread
	// Drains is the number of old pods, Injected how many of them were
	// injected, Killed how many ended by SIGKILL.
	Drains, Injected, Killed int
	// Owed is the number of responses that pods still owed when SIGTERM came.
	Owed int
	// Outcomes counts what the agents said.
	Outcomes map[string]int
}

// All is the tally of all requests.
func (f Figures) All() load.Tally { return f.Fresh.Add(f.Persistent) }

// Spread is the range of some durations.
type Spread struct{ Min, Median, Max time.Duration }

func spread(ds []time.Duration) Spread {
	if len(ds) == 0 {
		return Spread{}
	}
	slices.Sort(ds)
	return Spread{Min: ds[0], Median: ds[len(ds)/2], Max: ds[len(ds)-1]}
}

// Figures sums a cell up.
func (c Cell) Figures() Figures {
	f := Figures{
		Workload: c.Workload, Treatment: c.Treatment,
		Fresh: c.Load.Tally(load.OnFresh), Persistent: c.Load.Tally(load.OnPersistent),
		Outcomes: map[string]int{},
	}
	if filter, what, ok := judged(c.Workload); ok {
		f.Judged, f.JudgedWhat = c.Load.Tally(filter), what
	}
	for _, r := range c.Restarts {
		f.Rollout = max(f.Rollout, r.Complete.Sub(r.Start))
		f.LastGone = max(f.LastGone, r.Last.Sub(r.Start))
	}
	var held []time.Duration
	for _, l := range c.Drained() {
		held = append(held, l.Held())
		f.count(l)
		f.Owed += c.owed(l)
	}
	f.Held = spread(held)
	return f
}

// Drained are the pods that ended, in the order of their deletion.
func (c Cell) Drained() []Life {
	var ls []Life
	for _, l := range c.Lives {
		if !l.Deleted.IsZero() {
			ls = append(ls, l)
		}
	}
	return ls
}

// signalSlack is how far a pod's log of SIGTERM and the load generator's clock
// may be apart, and how long a response takes to arrive.
const signalSlack = 50 * time.Millisecond

// owed is the number of responses that came after the pod's SIGTERM to requests
// that were sent before it.
func (c Cell) owed(l Life) int {
	if l.Terminated.IsZero() {
		return 0
	}
	signal, owed := l.Terminated.Sub(c.Load.StartedAt), 0
	for _, r := range c.Load.Records {
		if c.Load.Pods[r.Pod] == l.Name && r.Start < signal-signalSlack && r.End() > signal+signalSlack {
			owed++
		}
	}
	return owed
}

// sigKilled is the exit code of a container that SIGKILL ended.
const sigKilled = 137

func (f *Figures) count(l Life) {
	f.Drains++
	if l.Injected {
		f.Injected++
	}
	if l.ExitCode == sigKilled {
		f.Killed++
	}
	if l.Outcome != "" {
		f.Outcomes[l.Outcome]++
	}
}
