package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/test/load"
)

// NodeDrain is one `kubectl drain`, from its start until it returned.
type NodeDrain struct{ Start, Done time.Time }

// Learning is what went before under the setting Tuned.
type Learning struct {
	// Served is how long it was until the pods were restarted, Took how long
	// until all of them had what is recommended.
	Served, Took time.Duration
	Load         load.Tally
	// P99 is that of the latencies as the load generator saw them.
	P99 time.Duration
	// Restarts brought the recommendation to the pods.
	Restarts int
}

// GraceCell is everything that was seen of the workload under one setting.
type GraceCell struct {
	Setting Setting
	// Cell has the load, one restart, and the pods of restart and drain.
	Cell
	Drain NodeDrain
	// Hung are the names of the pods whose counter has leaked.
	Hung []string
	// Learning and what follows are those of the setting Tuned.
	Learning Learning
	// Recommended is what the policy's status said until the drain of the node
	// began, each grace once, in the order in which it came up.
	Recommended []v1alpha1.GraceStatus
	// Observed is the policy's condition LatencyObserved when the drain of the
	// node began, which leaves no pod to look at.
	Observed string
}

// GraceFigures are a cell of the chapter as one row of its table.
type GraceFigures struct {
	Setting Setting
	// Least and Most are the grace that the pods had which went, in seconds.
	Least, Most int64
	// Rollout and Draining are the requests that ended before the drain of the
	// node began, and after.
	Rollout, Draining load.Tally
	// Complete is how long the restart took until the Deployment was complete,
	// LastGone until its last old pod was gone, NodeDrained how long the drain.
	Complete, LastGone, NodeDrained time.Duration
	// Took is how long pods took from their deletion until they were gone, Hung
	// the same of those whose drain hangs.
	Took, Hung Spread
	// Drains is the number of pods that went, those that hang among them,
	// Injected how many of them were injected, Hanging how many hung indeed.
	Drains, Injected, Hanging int
	// Owed is the number of responses that pods still owed at SIGTERM.
	Owed int
	// Outcomes counts what the agents said.
	Outcomes map[string]int
	Killed   int
	// Late is how late the latest request was sent: a machine that is overrun
	// has no time for the cluster either.
	Late     time.Duration
	Learning Learning
	// Measured is how many of the pods had a grace that the operator said it had
	// worked out from measurements.
	Measured int
	// Because is what it said of the longest; nil where it said nothing.
	Because  *v1alpha1.GraceStatus
	Observed string
}

// All is the tally of all requests.
func (f GraceFigures) All() load.Tally { return f.Rollout.Add(f.Draining) }

// Title is the setting in words, with the grace where the operator chose it.
func (f GraceFigures) Title() string {
	if f.Setting == Tuned && f.Most > 0 {
		return fmt.Sprintf("tuned, %s", f.Seconds())
	}
	return f.Setting.Title()
}

// Seconds is the grace of the pods in words, "20 s" or "15 to 20 s".
func (f GraceFigures) Seconds() string {
	if f.Least == f.Most {
		return fmt.Sprintf("%d s", f.Most)
	}
	return fmt.Sprintf("%d to %d s", f.Least, f.Most)
}

// GraceFigures sums a cell up.
func (c GraceCell) GraceFigures() GraceFigures {
	drain := c.Drain.Start.Sub(c.Load.StartedAt)
	f := GraceFigures{
		Setting:     c.Setting,
		Rollout:     c.Load.Tally(func(r load.Record) bool { return r.End() < drain }),
		Draining:    c.Load.Tally(func(r load.Record) bool { return r.End() >= drain }),
		NodeDrained: c.Drain.Done.Sub(c.Drain.Start),
		Late:        c.Load.MaxLag, Learning: c.Learning, Observed: c.Observed,
	}
	for _, r := range c.Restarts {
		f.Complete = max(f.Complete, r.Complete.Sub(r.Start))
		f.LastGone = max(f.LastGone, r.Last.Sub(r.Start))
	}
	f.addLives(c)
	f.Because = c.because(f.Most)
	return f
}

func (f *GraceFigures) addLives(c GraceCell) {
	base, took, hanging := Figures{Outcomes: map[string]int{}}, []time.Duration{}, []time.Duration{}
	for _, l := range c.Drained() {
		base.count(l)
		base.Owed += c.owed(l)
		f.Most = max(f.Most, l.Grace)
		if f.Least == 0 || l.Grace < f.Least {
			f.Least = l.Grace
		}
		if c.because(l.Grace) != nil {
			f.Measured++
		}
		if !slices.Contains(c.Hung, l.Name) {
			took = append(took, l.Took())
			continue
		}
		hanging = append(hanging, l.Took())
		if hung(l) {
			f.Hanging++
		}
	}
	f.Took, f.Hung = spread(took), spread(hanging)
	f.Drains, f.Injected, f.Killed, f.Owed, f.Outcomes = base.Drains, base.Injected, base.Killed, base.Owed, base.Outcomes
}

// graceSlack is by how much a pod that takes all of its grace may seem to end
// before it: its process ends by itself within that time of SIGTERM.
const graceSlack = 2 * time.Second

// hung says whether a pod took its whole grace without ever being drained.
func hung(l Life) bool {
	return l.Outcome != hold.OutcomeDrained && l.Took() >= time.Duration(l.Grace)*time.Second-graceSlack
}

// because is what the operator said of a grace from measurements.
func (c GraceCell) because(seconds int64) *v1alpha1.GraceStatus {
	for i := range c.Recommended {
		if s := &c.Recommended[i]; s.HoldSeconds != nil && int64(s.RecommendedSeconds) == seconds {
			return s
		}
	}
	return nil
}
