package load

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/valyala/fasthttp"
)

// Cause is how a request ended.
type Cause uint8

// The ends of a request. All but Answered are failures.
const (
	// Answered: a complete response with a status below 500.
	Answered Cause = iota
	// Refused: nobody listened.
	Refused
	// Unreachable: a router, or the network of a pod that is being taken apart,
	// said that nothing is there.
	Unreachable
	// Reset: the connection was reset before the first byte of an answer.
	Reset
	// Closed: the connection was closed before the first byte of an answer.
	Closed
	// Truncated: the answer began and did not end.
	Truncated
	// TimedOut: no connection or no answer within the work's time and the slack.
	TimedOut
	// ServerError: a complete answer with a status of 500 or more.
	ServerError
	// Other: anything else, an answer that is not from the workload among it.
	Other
	causes
)

var causeNames = [causes]string{"answered", "refused", "unreachable", "reset", "closed", "truncated", "timeout", "status 5xx", "other"}

// String is the cause in a word or two, as shown in tables.
func (c Cause) String() string {
	if c < causes {
		return causeNames[c]
	}
	return "unknown"
}

// Failures lists the causes that are failures, in the order of their display.
func Failures() []Cause {
	return []Cause{Refused, Unreachable, Reset, Closed, Truncated, TimedOut, ServerError, Other}
}

// classify names the end of a request from the client's error, the status of
// the answer and what its connection saw (nil if none was made).
func classify(err error, status int, conn *conn) Cause {
	switch {
	case err == nil && status >= 500:
		return ServerError
	case err == nil && (status < 200 || status >= 300):
		return Other
	case err == nil:
		return Answered
	case isTimeout(err):
		return TimedOut
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case isUnreachable(err):
		return Unreachable
	case isReset(err):
		return Reset
	case conn == nil:
		return Other
	case conn.answering:
		return Truncated
	case isUnreachable(conn.failure):
		return Unreachable
	case isReset(conn.failure):
		return Reset
	case errors.Is(conn.failure, io.EOF):
		return Closed
	}
	return Other
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, fasthttp.ErrTimeout) || errors.As(err, &t) && t.Timeout()
}

func isUnreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
