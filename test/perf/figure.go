// Package perf holds what the benchmarks measure: figures with their bounds,
// the report that keeps them and the table that shows them. The packages below
// it measure; cmd/bench runs them.
package perf

import (
	"fmt"
	"math"
	"strconv"
)

// Figure is one measured value, with the bound that it is held to.
type Figure struct {
	// Group is the benchmark that measured it.
	Group string `json:"group"`
	// What was measured, in words.
	What string `json:"what"`
	// Value in Unit: "s", "ms", "MB" (10^6 bytes), "MiB", "%", "x" for a ratio,
	// or what is counted.
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Bound is what the value must not exceed; nil when it is only to be known.
	Bound *float64 `json:"bound,omitempty"`
	// Samples is how many measurements the value was worked out from.
	Samples int `json:"samples"`
}

// Verdict on a figure.
type Verdict string

const (
	// Pass: the value is within its bound.
	Pass Verdict = "PASS"
	// Over: the value exceeds its bound.
	Over Verdict = "OVER"
	// Told: the figure has no bound.
	Told Verdict = ""
)

// AtMost returns the figure with a bound.
func (f Figure) AtMost(bound float64) Figure {
	f.Bound = &bound
	return f
}

// Verdict says whether the value is within its bound. A value that is no
// number is not.
func (f Figure) Verdict() Verdict {
	switch {
	case f.Bound == nil:
		return Told
	case f.Value <= *f.Bound:
		return Pass
	}
	return Over
}

// Amount renders a value in the figure's unit with about three digits.
func (f Figure) Amount(value float64) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Sprint(value)
	}
	digits := 2
	for size := math.Abs(value); size >= 10 && digits > 0; size /= 10 {
		digits--
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + f.Unit
}
