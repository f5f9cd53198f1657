package sessions

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"text/template"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
	"github.com/drain-operator/drain-operator/test/perf"
)

// evenRate is that of clients that are told evenly over the notice, per second.
const evenRate = float64(clients) / noticeSeconds

// figures holds what was seen to its bounds. Twice the even rate leaves room for
// clients that come back to a pod that is to go as well, and are told again.
func (s seen) figures() []perf.Figure {
	t := s.SessionTally(load.WebSocket)
	figure := func(what, unit string, value float64, samples int) perf.Figure {
		return perf.Figure{Group: Group, What: what, Unit: unit, Value: value, Samples: samples}
	}
	ended := t.Told + t.Untold
	return []perf.Figure{
		figure("connections that ended, or failed, untold", "", float64(t.Untold), ended).AtMost(0),
		figure("connections cut after their client was told", "", float64(t.ToldAndCut), ended).AtMost(0),
		figure("clients not connected at the end", "", float64(clients-t.Kept), clients).AtMost(0),
		figure("messages lost", "", float64(t.Lost), t.Sent).AtMost(0),
		figure("messages sent again, since they were declared unprocessed", "", float64(t.Unprocessed), t.Sent),
		figure("times that a client was told", "x", float64(t.Told)/clients, clients),
		figure("clients that came back in the busiest second", "1/s", float64(slices.Max(s.rate())), t.Told).AtMost(2 * evenRate),
		figure("the same, if each had been told once and evenly", "1/s", evenRate, clients),
		s.toldToBack().Figure(Group, "told to connected again", 0.5),
		s.toldToBack().Figure(Group, "told to connected again", 0.99),
	}
}

// rate is how many clients came back in each second.
func (s seen) rate() []int { return s.Reconnects(load.WebSocket, time.Second) }

// toldToBack is how long clients were away: from the word to the next attempt to
// connect, which none of them has to repeat.
func (s seen) toldToBack() perf.Sample {
	of := map[int][]load.Session{}
	for _, x := range s.Sessions {
		of[x.Client] = append(of[x.Client], x)
	}
	var away perf.Sample
	for _, all := range of {
		slices.SortFunc(all, func(a, b load.Session) int { return cmp.Compare(a.Start, b.Start) })
		for i, x := range all[1:] {
			if all[i].Told > 0 {
				away = append(away, x.Start-all[i].Told)
			}
		}
	}
	return away
}

//go:embed plot.svg.tmpl
var plotTemplate string

// bar is one second of the plot, in its coordinates.
type bar struct{ X, Y, Height float64 }

// Size of the plot: a second is secondWidth wide.
const (
	secondWidth = 12
	plotHeight  = 200
	margin      = 40
)

// picture is what the template draws.
type picture struct {
	Title         string
	Width, Height float64
	Bars          []bar
	// Even is where the line of the even rate lies; Began and Gone are the update's.
	Even, Base, Began, Gone float64
	EvenRate, Peak          int
	Seconds                 []tick
}

type tick struct {
	X       float64
	Seconds int
}

// plot draws the clients that came back in each second, from a little before the
// update on.
func (s seen) plot() ([]byte, error) {
	rate := s.rate()
	from := max(0, int(s.began.Seconds())-2)
	top := max(float64(slices.Max(rate)), evenRate)
	y := func(rate float64) float64 { return margin + plotHeight*(1-rate/top) }
	x := func(at float64) float64 { return margin + secondWidth*(at-float64(from)) }
	p := picture{
		Title: fmt.Sprintf("%d WebSockets on %d pods, rolling update, noticeSeconds %d: clients that came back in each second", clients, pods, noticeSeconds),
		Width: x(float64(len(rate))) + margin, Height: plotHeight + 2*margin,
		Even: y(evenRate), Base: y(0), Began: x(s.began.Seconds()), Gone: x(s.gone.Seconds()),
		EvenRate: int(evenRate), Peak: slices.Max(rate),
	}
	for i, n := range rate[from:] {
		at := float64(from + i)
		p.Bars = append(p.Bars, bar{x(at), y(float64(n)), y(0) - y(float64(n))})
		if i%5 == 0 {
			p.Seconds = append(p.Seconds, tick{x(at), i})
		}
	}
	var page bytes.Buffer
	err := template.Must(template.New(Plot).Parse(plotTemplate)).Execute(&page, p)
	return page.Bytes(), err
}
