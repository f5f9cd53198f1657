package demo

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// Report is what the demo has to say.
type Report struct {
	Config   Config
	Started  time.Time
	Took     time.Duration
	Cells    []Cell
	Figures  []Figures
	Verdict  Verdict
	Columns  []Column
	Workload []Row
	// Grace is the chapter on the grace period, nil where it was not run.
	Grace *GraceReport
}

// Column is what a treatment came to, over the traffic that is judged and over all.
type Column struct {
	Treatment   Treatment
	Judged, All load.Tally
	Held        Spread
	LastGone    time.Duration
	Restarts    int
}

// Row is a workload with its charts, in the order of the columns.
type Row struct {
	Workload string
	Charts   []CellChart
}

// CellChart is a chart and what stands above it.
type CellChart struct {
	Figures
	Chart
}

// Conclude makes the report of a run that ended now.
func Conclude(seen Seen, cfg Config, started time.Time) Report {
	r := Report{Config: cfg, Started: started, Took: time.Since(started), Cells: seen.Cells}
	r.Verdict = Verdict{}.concluded()
	if cfg.Has(ChapterRollout) {
		r.concludeRollouts()
	}
	if cfg.Has(ChapterGrace) {
		g := concludeGrace(seen.Grace, cfg.Grace)
		r.Grace, r.Verdict = &g, r.Verdict.and(g.Verdict)
	}
	return r
}

func (r *Report) concludeRollouts() {
	for _, c := range r.Cells {
		r.Figures = append(r.Figures, c.Figures())
	}
	cfg := r.Config
	order(r.Figures, cfg)
	r.Verdict = Judge(r.Figures, cfg.Restarts, cfg.Replicas, cfg.MinRequests)
	for _, t := range cfg.Treatments {
		r.Columns = append(r.Columns, r.column(t))
	}
	for _, w := range cfg.Workloads {
		r.Workload = append(r.Workload, r.row(w))
	}
}

// column sums up the cells of a treatment.
func (r Report) column(t Treatment) Column {
	col := Column{Treatment: t}
	var held []time.Duration
	for _, c := range r.Cells {
		if c.Treatment != t {
			continue
		}
		f := c.Figures()
		col.All, col.Judged = col.All.Add(f.All()), col.Judged.Add(f.Judged)
		col.Restarts += len(c.Restarts)
		col.LastGone = max(col.LastGone, f.LastGone)
		for _, l := range c.Drained() {
			held = append(held, l.Held())
		}
	}
	col.Held = spread(held)
	return col
}

func (r Report) row(workload string) Row {
	row := Row{Workload: workload}
	for _, t := range r.Config.Treatments {
		for _, c := range r.Cells {
			if c.Workload == workload && c.Treatment == t {
				row.Charts = append(row.Charts, CellChart{c.Figures(), NewChart(c, r.span(t), rate(r.Cells))})
			}
		}
	}
	return row
}

// span is the longest of a treatment: its cells ran side by side.
func (r Report) span(t Treatment) time.Duration {
	longest := bucket
	for _, c := range r.Cells {
		if c.Treatment == t {
			longest = max(longest, c.Span())
		}
	}
	return longest
}

// rate is the top of all charts of a chapter, in requests a second. A few moments
// may lie beyond it: what piled up while a busy machine stood still would flatten
// the rest.
func rate(cells []Cell) float64 {
	var counts []int
	for _, c := range cells {
		answered, _ := c.buckets(c.Span())
		counts = append(counts, answered...)
	}
	if len(counts) == 0 {
		return 1
	}
	slices.Sort(counts)
	usual := float64(counts[len(counts)*95/100]) / bucket.Seconds()
	return max(1, 1.25*usual)
}

// Others are examples of failures that no cause has a name for.
func (r Report) Others() []string {
	var texts []string
	for _, c := range r.Cells {
		for _, text := range c.Load.Others {
			texts = append(texts, fmt.Sprintf("%s, %s: %s", c.Workload, c.Treatment.Title(), text))
		}
	}
	if r.Grace != nil {
		texts = append(texts, r.Grace.Others...)
	}
	return texts
}

// Headline is the result in a few sentences, over the traffic that is judged.
func (r Report) Headline() string {
	if len(r.Columns) == 0 && r.Grace != nil {
		return r.Grace.Headline()
	}
	var parts []string
	for _, c := range r.Columns {
		n := c.Judged
		switch c.Treatment {
		case None:
			parts = append(parts, fmt.Sprintf("Without a policy, %s of %s requests were cut.", amount(n.Failed()), number(n.Requests)))
		case Policy:
			parts = append(parts, fmt.Sprintf("With a DrainPolicy, %s of %s.", amount(n.Failed()), number(n.Requests)))
		}
	}
	return strings.Join(parts, " ")
}

func amount(n int) string {
	if n == 0 {
		return "none"
	}
	return number(n)
}

//go:embed report.html.tmpl
var page string

//go:embed grace.html.tmpl
var gracePage string

// WriteHTML writes the report as one page that needs nothing else.
func (r Report) WriteHTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"number": number, "seconds": Seconds, "rounded": Rounded, "causes": ByCause, "failures": load.Failures,
		"count": func(t load.Tally, c load.Cause) int { return t.ByCause[c] },
		"px":    func(v float64) string { return fmt.Sprintf("%.1f", v) },
		"about": about, "sub": func(a, b float64) float64 { return a - b },
	}).Parse(page + gracePage)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := t.Execute(w, r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Across is how many cards stand side by side.
func (r Report) Across() int { return max(1, len(r.Columns)) }

// about says what a workload does when it is told to end.
func about(workload string) string {
	return map[string]string{
		Abrupt:   "exits at once on SIGTERM, whatever is under way",
		Shutdown: "finishes its requests on SIGTERM with http.Server.Shutdown",
		SDK:      "drains with pkg/drain: says what is in flight, asks clients to leave",
	}[workload]
}
