// Package simulation plays drains: how many requests each rule for the drain
// budget cuts, and what it costs. The requests' times are drawn, seen through
// histograms of the client library, and summarized by internal/latency; the
// arrivals are played one by one, so that nothing here rests on the formula that
// is on trial. See docs/latency.md.
package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/test/perf"
)

// Group is its name in the report.
const Group = "simulation"

const (
	seed     = 20261122
	quantile = 0.99
	// A histogram has the requests of so many pods, in so long a window.
	pods   = 3
	window = time.Hour
)

// load is how many requests a pod gets, and how many drains are played with it.
type load struct {
	perSecond float64
	drains    int
}

// requests that a histogram has seen.
func (l load) requests() int { return int(l.perSecond * pods * window.Seconds()) }

// rule gives a budget.
type rule struct {
	name   string
	budget func(h latency.Histogram, inFlight float64) time.Duration
}

var rules = []rule{
	{"P99 × 1.5", func(h latency.Histogram, _ float64) time.Duration { return percentile(h) }},
	{"with the residual", func(h latency.Histogram, _ float64) time.Duration {
		residual, _ := h.Residual(quantile)
		return max(percentile(h), residual)
	}},
	{"with the residual of all", func(h latency.Histogram, inFlight float64) time.Duration {
		residual, _ := h.ResidualOfAll(quantile, inFlight)
		return max(percentile(h), residual)
	}},
}

func percentile(h latency.Histogram) time.Duration {
	return h.Summarize(quantile).Latency * 3 / 2
}

// row is what the rules came to for one distribution, layout and load.
type row struct {
	distribution, layout string
	load
	budgets  []time.Duration
	outcomes []outcome
}

// Measure plays the drains, and says the tables as it goes.
func Measure(ctx context.Context, say func(string, ...any)) ([]perf.Figure, error) {
	say("seed %d", seed)
	rows, err := play(ctx, []load{{1, 10_000}, {20, 10_000}, {200, 2_000}})
	if err != nil {
		return nil, err
	}
	for _, l := range layouts {
		say("%s histogram\n%s", l.name, markdown(rows, l.name))
	}
	short, err := playFew(ctx)
	if err != nil {
		return nil, err
	}
	say("native histogram, %d/s, with few requests in it\n%s", middle, markdownFew(short))
	return append(figures(rows), figuresFew(short)...), nil
}

func play(ctx context.Context, loads []load) ([]row, error) {
	var rows []row
	for i, d := range distributions {
		// Each has its own numbers: another one added changes none.
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		for _, l := range loads {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			seen, err := see(rng, d, l.requests())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", d.name, err)
			}
			rows = append(rows, l.play(rng, d, seen)...)
		}
	}
	return rows, nil
}

// see draws requests, and returns them as the histogram of each layout has them.
func see(rng *rand.Rand, d distribution, requests int) ([]latency.Histogram, error) {
	times := make([]float64, requests)
	for i := range times {
		times[i] = d.seconds(rng)
	}
	var seen []latency.Histogram
	for _, l := range layouts {
		h, err := l.observe(times)
		if err != nil {
			return nil, err
		}
		seen = append(seen, h)
	}
	return seen, nil
}

// play the same drains under every rule and layout.
func (l load) play(rng *rand.Rand, d distribution, seen []latency.Histogram) []row {
	var rows []row
	for i, h := range seen {
		r := row{distribution: d.name, layout: layouts[i].name, load: l, outcomes: make([]outcome, len(rules))}
		for _, rule := range rules {
			r.budgets = append(r.budgets, rule.budget(h, h.InFlight(window, pods)))
		}
		rows = append(rows, r)
	}
	var left []float64
	for range l.drains {
		left = inFlight(rng, d, l.perSecond, left)
		for _, r := range rows {
			for i := range rules {
				r.outcomes[i].add(left, r.budgets[i])
			}
		}
	}
	return rows
}
