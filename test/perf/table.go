package perf

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes one line per figure, a block per group.
func (r *Report) WriteTable(out io.Writer) error {
	var page bytes.Buffer
	w := tabwriter.NewWriter(&page, 0, 0, 2, ' ', 0)
	group := ""
	for _, f := range r.Figures {
		if f.Group != group {
			group = f.Group
			fmt.Fprintf(w, "\n%s\t%s\t%s\t%s\t%s\n", strings.ToUpper(group), "FIGURE", "BOUND", "SAMPLES", "")
		}
		bound := "-"
		if f.Bound != nil {
			bound = "<= " + f.Amount(*f.Bound)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%d\t%s\n", f.What, f.Amount(f.Value), bound, f.Samples, f.Verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(page.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	_, err := fmt.Fprint(out, "\n", r.circumstances())
	return err
}

// circumstances tells how each group was measured.
func (r *Report) circumstances() string {
	var b strings.Builder
	for _, run := range r.Runs {
		fmt.Fprintf(&b, "%s: %s, %.0f s, %d CPUs, load average before %.1f\n",
			run.Group, run.At.UTC().Format("2006-01-02 15:04:05 UTC"), run.Seconds, run.CPUs, run.LoadBefore)
	}
	return b.String()
}
