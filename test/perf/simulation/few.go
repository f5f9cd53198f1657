package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/test/perf"
)

// A histogram of few requests knows little of the tail. So that one lucky or
// unlucky histogram does not stand for all, many are tried.
const (
	histograms = 100
	// drainsEach are played under each of them.
	drainsEach = 20
)

// seenRequests are how many the histograms have; below 500, nothing is changed.
var seenRequests = []int{500, 5_000, 50_000}

// few is what the rules came to with histograms of few requests.
type few struct {
	distribution string
	requests     int
	outcomes     []outcome
}

func playFew(ctx context.Context) ([]few, error) {
	var all []few
	for i, d := range distributions {
		rng := rand.New(rand.NewPCG(seed+1, uint64(i)))
		for _, n := range seenRequests {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			f := few{d.name, n, make([]outcome, len(rules))}
			for range histograms {
				if err := f.play(rng, d); err != nil {
					return nil, fmt.Errorf("%s: %w", d.name, err)
				}
			}
			all = append(all, f)
		}
	}
	return all, nil
}

func (f few) play(rng *rand.Rand, d distribution) error {
	seen, err := see(rng, d, f.requests)
	if err != nil {
		return err
	}
	h := seen[len(seen)-1]
	while := time.Duration(f.requests) * time.Second / middle
	var left []float64
	for range drainsEach {
		left = inFlight(rng, d, middle, left)
		for i, rule := range rules {
			f.outcomes[i].add(left, rule.budget(h, h.InFlight(while, 1)))
		}
	}
	return nil
}

func markdownFew(all []few) string {
	var b strings.Builder
	b.WriteString("| requests | seen |")
	for _, r := range rules {
		fmt.Fprintf(&b, " %s: in flight cut | drains cut |", r.name)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|---|", len(rules)) + "\n")
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %d |", f.distribution, f.requests)
		for _, o := range f.outcomes {
			fmt.Fprintf(&b, " %.1f%% | %.1f%% |", o.cutShare(), o.drainsCutShare())
		}
		b.WriteString("\n")
	}
	return b.String()
}

// figuresFew are the worst drains by how many requests were seen. They have no
// bound: no rule can know a tail that it has not seen.
func figuresFew(all []few) []perf.Figure {
	var figures []perf.Figure
	for _, n := range seenRequests {
		for i, rule := range rules {
			f := perf.Figure{
				Group: Group, What: fmt.Sprintf("drains with a request cut after %d requests, at most: %s", n, rule.name),
				Unit: "%", Samples: histograms * drainsEach,
			}
			for _, r := range all {
				if r.requests == n {
					f.Value = max(f.Value, r.outcomes[i].drainsCutShare())
				}
			}
			figures = append(figures, f)
		}
	}
	return figures
}
