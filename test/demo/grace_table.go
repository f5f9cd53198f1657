package demo

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
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
	if said := overrun(cells); said != "" {
		fmt.Fprintln(&page, said)
	}
	for l := range strings.Lines(page.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(l, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// overrun says that the machine had too much to do, where it had: then proxies
// learn too late, too, where not to send requests.
func overrun(cells []GraceFigures) string {
	const tolerable = time.Second
	late := time.Duration(0)
	for _, f := range cells {
		late = max(late, f.Late)
	}
	if late <= tolerable {
		return ""
	}
	return fmt.Sprintf("The machine was overrun: requests were sent up to %s late. These figures say little about the grace.", Seconds(late))
}

// Ended says how the drains of a cell ended.
func (f GraceFigures) Ended() string {
	return Figures{Outcomes: f.Outcomes, Killed: f.Killed}.Ended()
}
