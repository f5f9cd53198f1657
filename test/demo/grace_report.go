package demo

import (
	"fmt"
	"strings"
	"time"
)

// GraceReport is what the chapter on the grace period has to say.
type GraceReport struct {
	Config  GraceConfig
	Verdict Verdict
	Cells   []GraceCellReport
	// Figures are those of the cells, in their order.
	Figures []GraceFigures
	// Others are examples of failures that no cause has a name for.
	Others []string
}

// GraceCellReport is a cell with its chart.
type GraceCellReport struct {
	GraceFigures
	Chart
}

func concludeGrace(cells []GraceCell, cfg GraceConfig) GraceReport {
	r := GraceReport{Config: cfg}
	var timelines []Cell
	span := bucket
	for _, c := range cells {
		timelines = append(timelines, c.timeline())
		span = max(span, c.timeline().Span())
	}
	top := rate(timelines)
	for i, c := range cells {
		f := c.GraceFigures()
		r.Figures = append(r.Figures, f)
		r.Cells = append(r.Cells, GraceCellReport{f, NewChart(timelines[i], span, top)})
		for _, text := range c.Load.Others {
			r.Others = append(r.Others, fmt.Sprintf("grace %s: %s", f.Title(), text))
		}
	}
	r.Verdict = JudgeGrace(r.Figures, cfg.Replicas, cfg.MinRequests)
	return r
}

// timeline is the cell as a chart shows it: the drain of the node is another
// span of time in which pods go.
func (c GraceCell) timeline() Cell {
	t := c.Cell
	t.Restarts = append(append([]Restart{}, c.Restarts...), Restart{Start: c.Drain.Start, Complete: c.Drain.Done, Last: c.Drain.Done})
	return t
}

// Tuned are the figures of the tuned grace; nil where it was not run.
func (r GraceReport) Tuned() *GraceFigures {
	if f, ok := findGrace(r.Figures, Tuned); ok {
		return &f
	}
	return nil
}

// Overrun says that the machine had too much to do, if it had.
func (r GraceReport) Overrun() string { return overrun(r.Figures) }

// Headline is the result in a few sentences.
func (r GraceReport) Headline() string {
	var parts []string
	for _, f := range r.Figures {
		n := f.All()
		parts = append(parts, fmt.Sprintf("%s cut %s of %s requests, and a node with a hanging pod was drained after %s.",
			f.named(), amount(n.Failed()), number(n.Requests), Seconds(f.NodeDrained)))
	}
	return strings.Join(parts, " ")
}

// named is the grace as the subject of a sentence.
func (f GraceFigures) named() string {
	switch f.Setting {
	case Usual:
		return fmt.Sprintf("The default grace of %s", f.Seconds())
	case Short:
		return fmt.Sprintf("A grace of %s", f.Seconds())
	}
	return fmt.Sprintf("The tuned one of %s", f.Seconds())
}

// Cut says in words when requests were cut.
func (f GraceFigures) Cut() string {
	return fmt.Sprintf("%s in the rollout, %s in the drain", amount(f.Rollout.Failed()), amount(f.Draining.Failed()))
}

// Rounded is a duration in whole seconds, "65 s".
func Rounded(d time.Duration) string { return fmt.Sprintf("%.0f s", d.Seconds()) }
