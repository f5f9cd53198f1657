package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// maxMessageBytes bounds the message of a Failure.
const maxMessageBytes = 512

// Failure says why nothing could be seen.
type Failure struct {
	// Reason of the condition LatencyObserved.
	Reason string
	// Message for people, printable and at most 512 bytes: it may quote what a workload sent.
	Message string
}

func (f *Failure) Error() string { return f.Message }

// failf makes a Failure whose message is safe to show, whatever went into it.
func failf(reason, format string, args ...any) *Failure {
	return &Failure{Reason: reason, Message: presentable(fmt.Sprintf(format, args...))}
}

// presentable makes text of unknown origin one printable line of bounded length.
func presentable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError || unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, clipped(s, 4*maxMessageBytes))
	return clipped(strings.Join(strings.Fields(s), " "), maxMessageBytes)
}

// clipped cuts a text to so many bytes, at the border of a character.
func clipped(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const dots = "..."
	s = s[:limit-len(dots)]
	for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	if len(s) > 0 && s[len(s)-1] >= utf8.RuneSelf {
		s = s[:len(s)-1]
	}
	return s + dots
}

// withoutURL drops the URL that net/http puts before its errors: the path or
// the query of an address may be somebody's secret.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// isTransport says whether an error is one of getting an answer, and not of
// reading it.
func isTransport(err error) bool {
	var (
		u *url.Error
		n net.Error
	)
	return errors.As(err, &u) || errors.As(err, &n) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}
