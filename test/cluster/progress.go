package cluster

import (
	"fmt"
	"io"
	"time"
)

// progress prints lines that start with the seconds since it was made.
type progress struct {
	out   io.Writer
	start time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, start: time.Now()} }

func (p *progress) step(format string, args ...any) {
	fmt.Fprintf(p.out, "%5.1fs  %s\n", p.elapsed().Seconds(), fmt.Sprintf(format, args...))
}

func (p *progress) elapsed() time.Duration { return time.Since(p.start) }
