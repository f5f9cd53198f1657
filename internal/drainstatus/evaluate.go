package drainstatus

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// State is what one look at a workload showed.
type State string

const (
	// Drained: nothing is owed any more.
	Drained State = "Drained"
	// Busy: something is still owed.
	Busy State = "Busy"
	// Unreadable: the look showed nothing that can be believed.
	Unreadable State = "Unreadable"
)

// maxReasonBytes bounds a reason.
const maxReasonBytes = 200

// Untold stands in a Reading for a count that the answer does not give.
const Untold int64 = -1

// Reading is the judgement on one answer.
type Reading struct {
	State State
	// InFlight is the number of requests that are owed a response, Untold
	// where the dialect does not say.
	InFlight int64
	// LongLived is the number of long-lived connections, Untold where the
	// dialect does not say. Its part in State is the policy's to say.
	LongLived int64
	// OldestLongLivedSeconds is the age of the oldest of these, 0 where that is
	// not told.
	OldestLongLivedSeconds float64
	// Reason says in a few words why the state is what it is. It may quote
	// what a workload sent: it is one printable
	// line of at most 200 bytes.
	Reason string
}

// Reply is a workload's answer to one look, as an HTTP client sees it that
// follows no redirects.
type Reply struct {
	// StatusCode and ContentType are those of the response.
	StatusCode  int
	ContentType string
	// Body is read to its end, or up to the bound of the dialect. It may be
	// nil. What is left of it is the caller's to close.
	Body io.Reader
	// Err is what kept the answer from coming: then nothing else is looked at.
	Err error
}

// EvaluateBody judges an answer in the dialect Body: 200 and a drain status.
// Drained is what the policy for long-lived connections calls so, as it stands.
func EvaluateBody(r Reply, longLived LongLived) Reading {
	if why := Refused(r); why != "" {
		return NotReadable("%s", why)
	}
	if r.StatusCode != 200 {
		return NotReadable("answered %d, want 200", r.StatusCode)
	}
	body, err := readAll(r.Body)
	if err != nil {
		return NotReadable("%v", err)
	}
	s, err := Parse(body)
	if err != nil {
		return NotReadable("%v", err)
	}
	return judge(s, longLived)
}

// EvaluateStatusCode judges an answer in the dialect StatusCode: 2xx is
// drained, 503 is not yet, and anything else is a failure. The body says
// nothing, but one without end is a failure all the same.
func EvaluateStatusCode(r Reply) Reading {
	if why := Refused(r); why != "" {
		return NotReadable("%s", why)
	}
	drained := r.StatusCode >= 200 && r.StatusCode < 300
	if !drained && r.StatusCode != 503 {
		return NotReadable("answered %d, want 2xx or 503", r.StatusCode)
	}
	if _, err := readAll(r.Body); err != nil {
		return NotReadable("%v", err)
	}
	if drained {
		return Reading{State: Drained, LongLived: Untold, Reason: fmt.Sprintf("answered %d", r.StatusCode)}
	}
	return Reading{State: Busy, InFlight: Untold, LongLived: Untold, Reason: "answered 503"}
}

// NotReadable is the reading of an answer that cannot be believed, for the
// reason given.
func NotReadable(format string, args ...any) Reading {
	return Reading{State: Unreadable, InFlight: Untold, LongLived: Untold, Reason: printable(fmt.Sprintf(format, args...))}
}

// printable makes one short line of a reason, whatever the workload put in it:
// reasons go to termination messages, events and terminals.
func printable(s string) string {
	line := strings.Map(func(r rune) rune {
		if strconv.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if len(line) > maxReasonBytes {
		line = strings.ToValidUTF8(line[:maxReasonBytes], "")
	}
	return line
}

// Refused says why an answer is a failure in every dialect, or "" where it is
// not: it did not come, or it sends the reader elsewhere.
func Refused(r Reply) string {
	switch {
	case r.Err != nil:
		return fmt.Sprintf("no answer: %v", r.Err)
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return fmt.Sprintf("answered %d: redirects are not followed", r.StatusCode)
	}
	return ""
}

func judge(s Status, longLived LongLived) Reading {
	r := Reading{State: Busy, InFlight: s.InFlight, LongLived: s.LongLived}
	if s.LongLived > 0 {
		r.OldestLongLivedSeconds = s.OldestLongLivedSeconds
	}
	if s.Drained(longLived) {
		r.State = Drained
	}
	r.Reason = fmt.Sprintf("%d in flight, %d long-lived", s.InFlight, s.LongLived)
	return r
}

// readAll reads a body of at most MaxBodyBytes. One byte more is read, to tell
// a body that just fits from one that goes on.
func readAll(body io.Reader) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(body, MaxBodyBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the answer: %w", err)
	case len(b) > MaxBodyBytes:
		return nil, fmt.Errorf("%w: over %d bytes", ErrTooLarge, MaxBodyBytes)
	}
	return b, nil
}
