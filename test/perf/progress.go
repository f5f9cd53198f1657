package perf

import (
	"fmt"
	"io"
	"time"
)

// Progress tells a person at a terminal what goes on.
type Progress struct {
	out     io.Writer
	started time.Time
}

// NewProgress begins now.
func NewProgress(out io.Writer) *Progress { return &Progress{out: out, started: time.Now()} }

// Say writes a line with the time since the start. A terminal that is gone is
// no reason to stop.
func (p *Progress) Say(format string, args ...any) {
	since := time.Since(p.started).Truncate(time.Second)
	_, _ = fmt.Fprintf(p.out, "%6s  %s\n", since, fmt.Sprintf(format, args...))
}
