package load

import (
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// Record is one request: when it was sent, what was asked and how it ended. In
// JSON it is an array of its fields in their order, since there are many.
type Record struct {
	// Start is the time since Results.StartedAt.
	Start   time.Duration
	Work    time.Duration
	Latency time.Duration
	Kind    Kind
	Method  Method
	Cause   Cause
	// Pod is an index into Results.Pods: who answered.
	Pod int
}

// End is the time since Results.StartedAt at which the request ended.
func (r Record) End() time.Duration { return r.Start + r.Latency }

// MarshalJSON writes times as microseconds, the work as milliseconds.
func (r Record) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d,%d,%d,%d]", r.Start.Microseconds(), r.Work.Milliseconds(), r.Latency.Microseconds(), r.Kind, r.Method, r.Cause, r.Pod), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Record) UnmarshalJSON(b []byte) error {
	var v [7]int64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v[3] < 0 || v[3] >= int64(kinds) || v[5] < 0 || v[5] >= int64(causes) {
		return fmt.Errorf("record of unknown kind %d or cause %d", v[3], v[5])
	}
	*r = Record{
		Start: time.Duration(v[0]) * time.Microsecond, Work: time.Duration(v[1]) * time.Millisecond,
		Latency: time.Duration(v[2]) * time.Microsecond,
		Kind:    Kind(v[3]), Method: Method(v[4]), Cause: Cause(v[5]), Pod: int(v[6]),
	}
	return nil
}

// Results is everything that a run saw.
type Results struct {
	StartedAt time.Time     `json:"startedAt"`
	Elapsed   time.Duration `json:"elapsedNanos"`
	// NotSent counts requests that were due and not sent, because too many were
	// under way. Results with any are worth nothing.
	NotSent int `json:"notSent"`
	// MaxLag is how late the latest request was sent, against its plan.
	MaxLag time.Duration `json:"maxLagNanos"`
	// Pods are the names that answers carried; the first is that of answers
	// without one.
	Pods    []string `json:"pods"`
	Records []Record `json:"records"`
	// Sessions are the long-lived connections, in the order of their ends.
	Sessions []Session `json:"sessions,omitempty"`
	// Others are the first few errors behind the cause Other, for a person to read.
	Others []string `json:"others,omitempty"`
}

// Tally counts requests and how they ended.
type Tally struct {
	Requests int
	ByCause  [causes]int
}

// Failed is the number of requests without a complete answer.
func (t Tally) Failed() int { return t.Requests - t.ByCause[Answered] }

// Add is the sum of two tallies.
func (t Tally) Add(o Tally) Tally {
	t.Requests += o.Requests
	for c := range t.ByCause {
		t.ByCause[c] += o.ByCause[c]
	}
	return t
}

// Tally counts the records that all filters accept.
func (r Results) Tally(filters ...func(Record) bool) Tally {
	var t Tally
	for rec := range r.accepted(filters) {
		t.Requests++
		t.ByCause[rec.Cause]++
	}
	return t
}

// Quantile is the time within which that share of the requests that all
// filters accept, and that were answered, had their answer: the nearest rank,
// so a latency that was seen. 0 when there are none.
func (r Results) Quantile(share float64, filters ...func(Record) bool) time.Duration {
	var took []time.Duration
	for rec := range r.accepted(filters) {
		if rec.Cause == Answered {
			took = append(took, rec.Latency)
		}
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	rank := int(math.Ceil(share * float64(len(took))))
	return took[min(max(rank, 1), len(took))-1]
}

func (r Results) accepted(filters []func(Record) bool) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, rec := range r.Records {
			rejects := func(accepts func(Record) bool) bool { return !accepts(rec) }
			if !slices.ContainsFunc(filters, rejects) && !yield(rec) {
				return
			}
		}
	}
}

// OnFresh accepts requests that had a connection of their own.
func OnFresh(r Record) bool { return r.Kind == Fresh }

// OnPersistent accepts requests on connections that carry more than one.
func OnPersistent(r Record) bool { return r.Kind != Fresh }

// With accepts requests of a method.
func With(m Method) func(Record) bool { return func(r Record) bool { return r.Method == m } }

// EndedWithin accepts requests that ended after one time and not after another.
func (r Results) EndedWithin(from, to time.Time) func(Record) bool {
	return func(rec Record) bool {
		at := r.StartedAt.Add(rec.End())
		return at.After(from) && !at.After(to)
	}
}
