package waiting

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/drainstatus/dialect"
	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	// secondLook is the time between the two looks that must agree.
	secondLook = 15 * time.Millisecond

	// maxWaitSeconds is what a long-poll asks for at most. An endpoint that
	// dies meanwhile is noticed only after it.
	maxWaitSeconds = 10

	// waitsLeft divides the time until the bound: a hold that is about to run
	// out of time asks more often, or nothing could be said of the trend.
	waitsLeft = 4

	// The status is given up after so many failures in a row, over at least so
	// many of its timeouts.
	giveUpFailures = 5
	giveUpTimeouts = 3

	// retry is the longest time between two tries that fail.
	retry = time.Second
)

// status is what is known from the status endpoint.
type status struct {
	timeout, period time.Duration
	longPolls       bool

	next time.Duration
	// asked is when the last question was asked; plain that it was asked
	// without a wait on purpose.
	asked    time.Duration
	plain    bool
	trusted  bool // the last answer could be read
	answers  int
	inARow   int // answers in a row that said drained
	failures int // in a row
	failing  time.Duration
	inFlight int64
	reason   string
}

func newStatus(spec *hold.HTTP) status {
	if spec == nil {
		return status{}
	}
	return status{
		timeout: seconds(spec.TimeoutSeconds), period: seconds(max(1, spec.PeriodSeconds)),
		longPolls: dialect.Dialect{DrainedWhen: dialect.DrainedWhen(spec.DrainedWhen)}.LongPolls(),
	}
}

// nextAsk is when to ask, and for how many seconds the answer may be held. The
// first question, the second of two that must agree, and those after a failure
// are plain: an endpoint that hangs costs one timeout. No answer is to be held
// beyond until.
func (s *status) nextAsk(at, until time.Duration) (when time.Duration, wait int) {
	when = max(at, s.next)
	if !s.longPolls || s.askPlain() {
		return when, 0
	}
	left := int((until - when) / time.Second)
	return when, max(0, min(maxWaitSeconds, left, max(1, left/waitsLeft)))
}

func (s *status) askPlain() bool { return !s.trusted || s.inARow > 0 }

// Asked says that the endpoint was asked.
func (h *Hold) Asked(at time.Duration) {
	h.status.asked, h.status.plain = at, h.status.askPlain()
}

// Answered takes the reading of an answer.
func (h *Hold) Answered(at time.Duration, r drainstatus.Reading) {
	s := &h.status
	s.answers++
	s.reason = r.Reason
	if r.State == drainstatus.Unreadable {
		s.fail(at)
		return
	}
	s.trusted, s.failures, s.inFlight = true, 0, r.InFlight
	h.sawAge(at, r)
	if r.InFlight >= 0 { // else the endpoint does not tell
		h.trend.took(at, r.InFlight)
	}
	if r.State == drainstatus.Drained {
		s.inARow++
		s.next = at + secondLook
		return
	}
	again := s.asked + s.period
	if s.longPolls && s.plain {
		again = at // now with a wait
	}
	s.inARow, s.next = 0, again
}

func (s *status) fail(at time.Duration) {
	if s.failures == 0 {
		s.failing = s.asked
	}
	s.failures++
	s.trusted, s.inARow = false, 0
	s.next = max(at, s.asked+min(s.period, retry)) // a hung one has cost time enough
}

func (s *status) drained() bool { return s.inARow >= 2 }

func (s *status) givenUp(at time.Duration) bool {
	return s.failures >= giveUpFailures && at-s.failing >= giveUpTimeouts*s.timeout
}
