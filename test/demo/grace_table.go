package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

var graceColumns = []string{
	"GRACE", "REQUESTS", "CUT", "BY CAUSE", "ROLLOUT", "LAST OLD POD GONE", "NODE DRAINED",
	"A POD TOOK min/med/max", "A HANGING ONE", "OUTCOMES",
}

// WriteGraceTable writes one line per setting, aligned, and below them what the
// operator says of the tuned grace.
func WriteGraceTable(out io.Writer, cells []GraceFigures) error {
	var page bytes.Buffer
	w := tabwriter.NewWriter(&page, 0, 0, 2, ' ', 0)
	line(w, graceColumns...)
	for _, f := range cells {
		n := f.All()
		line(w, f.Title(), number(n.Requests), number(n.Failed()), ByCause(n),
			Seconds(f.Complete), Seconds(f.LastGone), Seconds(f.NodeDrained), f.Took.String(), Seconds(f.Hung.Max), f.Ended())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if tuned, ok := findGrace(cells, Tuned); ok && tuned.Because != nil {
		fmt.Fprintf(&page, "tuned: %s\n", tuned.Because.Reason)
		fmt.Fprintf(&page, "       P99 as the load generator saw it: %s\n", Seconds(tuned.Learning.P99))
	}
	for l := range strings.Lines(page.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(l, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Ended says how the drains of a cell ended.
func (f GraceFigures) Ended() string {
	return Figures{Outcomes: f.Outcomes, Killed: f.Killed}.Ended()
}
