package demo

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// Measures of a chart, in the units of its view box.
const (
	chartWidth   = 440.0
	rateHeight   = 58.0
	failHeight   = 18.0
	lane         = 7.0
	axisHeight   = 16.0
	bucket       = 500 * time.Millisecond
	largestMark  = 6.5
	smallestMark = 2.4
)

// Chart is the timeline of a cell, ready to be drawn: requests on top, failures
// below them, then a bar per pod that went.
type Chart struct {
	Width, Height float64
	// Area is the path of the answered requests per second.
	Area string
	// Peak is the largest value of the area, in requests a second.
	Peak     int
	Failures []Mark
	FailY    float64
	Bars     []Bar
	Restarts []Span
	Ticks    []Tick
	AxisY    float64
}

// Mark is a number of failures at about the same time.
type Mark struct {
	X, Radius float64
	Text      string
}

// Bar is a pod from its deletion to its end; Split is where SIGTERM came.
type Bar struct {
	X, Split, End, Y, Height float64
	Text                     string
}

// Hold and Rest are the widths of the bar before and after SIGTERM.
func (b Bar) Hold() float64 { return max(0.8, b.Split-b.X) }

// Rest is the bar's width after SIGTERM.
func (b Bar) Rest() float64 { return max(0, b.End-b.Split) }

// Span is a restart from its start until its last old pod was gone.
type Span struct{ X, Width float64 }

// Tick is a mark of the time axis.
type Tick struct {
	X    float64
	Text string
}

// NewChart draws a cell over a span of time and up to a rate, in requests a
// second, that the charts beside it share.
func NewChart(c Cell, span time.Duration, rate float64) Chart {
	x := scale(span)
	since := func(t time.Time) float64 { return x(t.Sub(c.Load.StartedAt)) }
	top := rateHeight + failHeight + 4
	ch := Chart{Width: chartWidth, FailY: rateHeight + failHeight/2}
	answered, failed := c.buckets(span)
	ch.Area, ch.Peak = area(answered, x, rate), peak(answered)
	ch.Failures = marks(failed, x)
	for i, l := range c.Drained() {
		ch.Bars = append(ch.Bars, bar(l, since, top+float64(i)*lane))
	}
	for _, r := range c.Restarts {
		ch.Restarts = append(ch.Restarts, Span{since(r.Start), since(r.Last) - since(r.Start)})
	}
	ch.AxisY = top + float64(len(ch.Bars))*lane + 3
	ch.Height = ch.AxisY + axisHeight
	ch.Ticks = ticks(span, x)
	return ch
}

func scale(span time.Duration) func(time.Duration) float64 {
	return func(d time.Duration) float64 {
		return min(max(0, d.Seconds()/span.Seconds()), 1) * chartWidth
	}
}

// Span is the time from the start of the load until its last request ended.
func (c Cell) Span() time.Duration {
	end := c.Load.Elapsed
	for _, l := range c.Lives {
		if !l.Gone.IsZero() {
			end = max(end, l.Gone.Sub(c.Load.StartedAt))
		}
	}
	return end
}

// buckets counts answers and failures by when they ended.
func (c Cell) buckets(span time.Duration) (answered, failed []int) {
	n := int(span/bucket) + 1
	answered, failed = make([]int, n), make([]int, n)
	for _, r := range c.Load.Records {
		i := min(int(r.End()/bucket), n-1)
		if r.Cause == load.Answered {
			answered[i]++
		} else {
			failed[i]++
		}
	}
	return answered, failed
}

func peak(counts []int) int {
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	return int(float64(most) / bucket.Seconds())
}

// area is a closed path below the rate, from the axis up.
func area(counts []int, x func(time.Duration) float64, rate float64) string {
	var d strings.Builder
	fmt.Fprintf(&d, "M0 %.1f", rateHeight)
	for i, n := range counts {
		y := rateHeight * (1 - min(1, float64(n)/bucket.Seconds()/rate))
		fmt.Fprintf(&d, "L%.1f %.1f", x(time.Duration(i)*bucket+bucket/2), y)
	}
	fmt.Fprintf(&d, "L%.1f %.1fZ", x(time.Duration(len(counts))*bucket), rateHeight)
	return d.String()
}

func marks(counts []int, x func(time.Duration) float64) []Mark {
	var ms []Mark
	for i, n := range counts {
		if n == 0 {
			continue
		}
		at := time.Duration(i)*bucket + bucket/2
		ms = append(ms, Mark{
			X: x(at), Radius: min(largestMark, smallestMark*math.Sqrt(float64(n))),
			Text: fmt.Sprintf("%d failed at %s", n, Seconds(at)),
		})
	}
	return ms
}

func bar(l Life, x func(time.Time) float64, y float64) Bar {
	end := l.Gone
	if end.IsZero() {
		end = l.Deleted.Add(l.Held())
	}
	text := fmt.Sprintf("%s: held %s", l.Name, Seconds(l.Held()))
	if l.Outcome != "" {
		text += ", " + l.Outcome
	}
	if l.OutcomeReason != "" {
		text += ": " + l.OutcomeReason
	}
	return Bar{X: x(l.Deleted), Split: x(l.Deleted.Add(l.Held())), End: x(end), Y: y, Height: lane - 2, Text: text}
}

// ticks are at the smallest round distance that leaves room for their labels.
func ticks(span time.Duration, x func(time.Duration) float64) []Tick {
	step := time.Second
	for _, step = range []time.Duration{1e9, 2e9, 5e9, 10e9, 20e9, 30e9, 60e9, 120e9} {
		if span/step < 10 {
			break
		}
	}
	var ts []Tick
	for at := step; x(at) < chartWidth-14; at += step {
		ts = append(ts, Tick{X: x(at), Text: fmt.Sprintf("%.0f s", at.Seconds())})
	}
	return ts
}
