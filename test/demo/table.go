package demo

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// columns of the table, with what they hold.
var columns = []string{
	"WORKLOAD", "TREATMENT", "CONNECTIONS", "REQUESTS", "FAILED", "BY CAUSE",
	"ROLLOUT", "LAST OLD POD GONE", "POD HELD min/med/max", "OUTCOMES",
}

// WriteTable writes one line per cell and kind of connection, aligned.
func WriteTable(out io.Writer, cells []Figures) error {
	var page bytes.Buffer
	w := tabwriter.NewWriter(&page, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	for i, f := range cells {
		if i > 0 && f.Workload != cells[i-1].Workload {
			fmt.Fprintln(w, strings.Repeat("\t", len(columns)-1))
		}
		line(w, f.Workload, f.Treatment.Title(), "fresh", number(f.Fresh.Requests), number(f.Fresh.Failed()), ByCause(f.Fresh),
			Seconds(f.Rollout), Seconds(f.LastGone), f.Held.String(), f.Ended())
		line(w, "", "", "keep-alive", number(f.Persistent.Requests), number(f.Persistent.Failed()), ByCause(f.Persistent), "", "", "", "")
	}
	if err := w.Flush(); err != nil {
		return err
	}
	// Empty cells at the end of a line are padded too.
	for l := range strings.Lines(page.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(l, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func line(w io.Writer, fields ...string) { fmt.Fprintln(w, strings.Join(fields, "\t")) }

// ByCause lists the failures of a tally, "3 reset, 1 closed", or "-".
func ByCause(t load.Tally) string {
	var parts []string
	for _, c := range load.Failures() {
		if n := t.ByCause[c]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// Ended says how the drains of a cell ended.
func (f Figures) Ended() string {
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(f.Outcomes)) {
		parts = append(parts, fmt.Sprintf("%d %s", f.Outcomes[outcome], outcome))
	}
	if f.Killed > 0 {
		parts = append(parts, fmt.Sprintf("%d killed", f.Killed))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// String is the spread in seconds, "4.1 / 5.0 / 7.3 s".
func (s Spread) String() string {
	return fmt.Sprintf("%.1f / %.1f / %.1f s", s.Min.Seconds(), s.Median.Seconds(), s.Max.Seconds())
}

// Seconds is a duration with tenths, "12.3 s".
func Seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// number separates thousands, "20,123".
func number(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// order sorts cells by workload, then by treatment, each as the demo ran them.
func order(cells []Figures, c Config) {
	slices.SortStableFunc(cells, func(a, b Figures) int {
		if d := slices.Index(c.Workloads, a.Workload) - slices.Index(c.Workloads, b.Workload); d != 0 {
			return d
		}
		return slices.Index(c.Treatments, a.Treatment) - slices.Index(c.Treatments, b.Treatment)
	})
}
