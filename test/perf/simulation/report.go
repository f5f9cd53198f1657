package simulation

import (
	"fmt"
	"strings"

	"github.com/drain-operator/drain-operator/test/perf"
)

// Indices of the rules that promise something.
const (
	byResidual = 1 + iota
	byResidualOfAll
)

const (
	// promised is how many requests or drains may be cut at a percentile of
	// 99, in percent.
	promised = 1.0
	// samplingError of that in drains that are counted by the thousand.
	samplingError = 0.5
	// enough requests in flight for a share of them to tell something.
	enough = 10_000
	// middle load, in requests per second and pod.
	middle = 20
)

// markdown is the table of one layout. Each rule has a cell: its budget, the
// requests cut per 1,000 drains, the share of drains with one cut, and how long
// a drain took on average.
func markdown(rows []row, layout string) string {
	var b strings.Builder
	b.WriteString("| requests | per pod | in flight |")
	for _, r := range rules {
		fmt.Fprintf(&b, " %s |", r.name)
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(rules)) + "\n")
	for _, r := range rows {
		if r.layout != layout {
			continue
		}
		o := r.outcomes[0]
		fmt.Fprintf(&b, "| %s | %g/s | %.3g |", r.distribution, r.perSecond, float64(o.inFlight)/float64(o.drains))
		for i := range rules {
			o := r.outcomes[i]
			fmt.Fprintf(&b, " %.1f s · %.1f · %.1f%% · %.2f s |", r.budgets[i].Seconds(), o.cutPerThousand(), o.drainsCutShare(), o.meanHeld())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// figures of the rows at the middle load; the table has the others. Those that
// the rules promise are the worst of all rows, and have a bound.
func figures(rows []row) []perf.Figure {
	all := worst(rows)
	for _, r := range rows {
		if r.perSecond != middle {
			continue
		}
		for i, rule := range rules {
			what := fmt.Sprintf("%s, %s, %g/s, %s: ", r.layout, r.distribution, r.perSecond, rule.name)
			o := r.outcomes[i]
			all = append(all,
				perf.Figure{Group: Group, What: what + "budget", Value: r.budgets[i].Seconds(), Unit: "s", Samples: r.requests()},
				perf.Figure{Group: Group, What: what + "cut per 1,000 drains", Value: o.cutPerThousand(), Unit: "requests", Samples: o.drains},
				perf.Figure{Group: Group, What: what + "held on average", Value: o.meanHeld(), Unit: "s", Samples: o.drains},
			)
		}
	}
	return all
}

// worst are the largest shares among all rows, of what is promised.
func worst(rows []row) []perf.Figure {
	var all []perf.Figure
	for i, rule := range rules {
		cut := perf.Figure{Group: Group, What: "requests in flight that are cut, at most: " + rule.name, Unit: "%"}
		drains := perf.Figure{Group: Group, What: "drains with a request cut, at most: " + rule.name, Unit: "%"}
		for _, r := range rows {
			o := r.outcomes[i]
			if share := o.cutShare(); o.inFlight >= enough && share >= cut.Value {
				cut.Value, cut.Samples = share, o.inFlight
			}
			if share := o.drainsCutShare(); share >= drains.Value {
				drains.Value, drains.Samples = share, o.drains
			}
		}
		if i >= byResidual {
			cut = cut.AtMost(promised + samplingError)
		}
		if i >= byResidualOfAll {
			drains = drains.AtMost(promised + samplingError)
		}
		all = append(all, cut, drains)
	}
	return all
}
