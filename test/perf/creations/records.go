package creations

import (
	"errors"
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/test/perf"
)

// Record is one request.
type Record struct {
	// Due is when it was to be sent.
	Due time.Time
	// Took is from then to the answer.
	Took time.Duration
	// Injected: the answer to the creation is an injected pod.
	Injected bool
	Err      error
}

// Records are requests, in the order of their answers.
type Records []Record

// Result is what became of a stream.
type Result struct{ Created, Deleted Records }

// Between keeps what was due from then on, and before the end.
func (r Result) Between(from, to time.Time) Result {
	return Result{r.Created.between(from, to), r.Deleted.between(from, to)}
}

func (r Records) between(from, to time.Time) Records {
	return r.which(func(x Record) bool { return !x.Due.Before(from) && x.Due.Before(to) })
}

func (r Records) which(is func(Record) bool) (found Records) {
	for _, x := range r {
		if is(x) {
			found = append(found, x)
		}
	}
	return found
}

// Took are the times of all, failed ones included.
func (r Records) Took() perf.Sample {
	var s perf.Sample
	for _, x := range r {
		s = append(s, x.Took)
	}
	return s
}

// Failed are those that were refused or not answered.
func (r Records) Failed() Records { return r.which(func(x Record) bool { return x.Err != nil }) }

// Injected are those whose pod was.
func (r Records) Injected() Records { return r.which(func(x Record) bool { return x.Injected }) }

// Missed are those that succeeded, and whose pod was not injected.
func (r Records) Missed() Records {
	return r.which(func(x Record) bool { return x.Err == nil && !x.Injected })
}

// Span is the time from the first that was due to the last.
func (r Records) Span() time.Duration {
	if len(r) == 0 {
		return 0
	}
	first, last := r[0].Due, r[0].Due
	for _, x := range r {
		if x.Due.Before(first) {
			first = x.Due
		}
		if x.Due.After(last) {
			last = x.Due
		}
	}
	return last.Sub(first)
}

// Rate is how many were begun per second.
func (r Records) Rate() float64 {
	if span := r.Span(); span > 0 {
		return float64(len(r)-1) / span.Seconds()
	}
	return 0
}

// Why tells a few of the errors.
func (r Records) Why() error {
	failed := r.Failed()
	var few []error
	for _, x := range failed[:min(len(failed), 3)] {
		few = append(few, fmt.Errorf("after %s: %w", x.Took.Round(time.Millisecond), x.Err))
	}
	return errors.Join(few...)
}
