package demo

import "fmt"

// Verdict says whether the demo showed what it claims.
type Verdict struct {
	OK bool
	// Proven are the claims that hold, Failed those that do not, as sentences.
	Proven, Failed []string
}

// Judge decides from the figures of all cells. What it takes: a cell without a
// policy for comparison; for each judged workload a cell with a policy in which
// every old pod was injected, every restart replaced every pod, and none of at
// least minRequests requests was dropped. The SDK workload says what it owes
// and would finish it after SIGTERM, too: there SIGTERM must have waited.
func Judge(cells []Figures, restarts int, replicas int32, minRequests int) Verdict {
	var v Verdict
	for _, workload := range []string{SDK, Shutdown} {
		none, hasNone := find(cells, workload, None)
		with, hasPolicy := find(cells, workload, Policy)
		if !hasNone || !hasPolicy {
			v.fail("%s was not run both without a policy and with one", workload)
			continue
		}
		v.compared(none)
		v.drained(with, restarts*int(replicas))
		v.dropped(with, minRequests)
		if workload == SDK {
			v.waited(with)
		}
	}
	return v.concluded()
}

func (v Verdict) concluded() Verdict {
	v.OK = len(v.Failed) == 0
	return v
}

// and is the verdict on both.
func (v Verdict) and(o Verdict) Verdict {
	v.Proven, v.Failed = append(v.Proven, o.Proven...), append(v.Failed, o.Failed...)
	return v.concluded()
}

// compared: the cell without a policy was really without one.
func (v *Verdict) compared(f Figures) {
	switch {
	case f.Injected > 0:
		v.fail("%s without a policy: %d pods were injected nevertheless", f.Workload, f.Injected)
	case f.All().Requests == 0:
		v.fail("%s without a policy: no requests were sent", f.Workload)
	}
}

// drained: the pods that went were drained by a policy, all of them.
func (v *Verdict) drained(f Figures, want int) {
	switch {
	case f.Drains < want:
		v.fail("%s with a policy: %d old pods were seen to go, not %d", f.Workload, f.Drains, want)
	case f.Injected < f.Drains:
		v.fail("%s with a policy: only %d of %d old pods were injected, so a policy did not drain them", f.Workload, f.Injected, f.Drains)
	default:
		v.prove("%s: all %d old pods were drained by the policy", f.Workload, f.Drains)
	}
}

// dropped: enough requests, none of them without an answer.
func (v *Verdict) dropped(f Figures, minRequests int) {
	switch n := f.Judged; {
	case n.Failed() > 0:
		v.fail("%s with a policy: %s of %s requests on %s were dropped", f.Workload, number(n.Failed()), number(n.Requests), f.JudgedWhat)
	case n.Requests < minRequests:
		v.fail("%s with a policy: %s requests on %s are too few to tell, at least %s are needed", f.Workload, number(n.Requests), f.JudgedWhat, number(minRequests))
	default:
		v.prove("%s: 0 of %s requests on %s were dropped", f.Workload, number(n.Requests), f.JudgedWhat)
	}
}

// waited: SIGTERM came when nothing was owed any more.
func (v *Verdict) waited(f Figures) {
	if f.Owed > 0 {
		v.fail("%s with a policy: pods still owed %s responses when they got SIGTERM", f.Workload, number(f.Owed))
		return
	}
	v.prove("%s: no pod got SIGTERM while it owed a response", f.Workload)
}

func (v *Verdict) fail(format string, args ...any) {
	v.Failed = append(v.Failed, fmt.Sprintf(format, args...))
}

func (v *Verdict) prove(format string, args ...any) {
	v.Proven = append(v.Proven, fmt.Sprintf(format, args...))
}

func find(cells []Figures, workload string, t Treatment) (Figures, bool) {
	for _, f := range cells {
		if f.Workload == workload && f.Treatment == t {
			return f, true
		}
	}
	return Figures{}, false
}
