package demo

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// fakeCell is a cell as a run would leave it: rolling restarts whose pods are
// held for some time, with some requests cut at each end of a pod.
func fakeCell(workload string, t Treatment, held time.Duration, cut int) Cell {
	rng := rand.New(rand.NewPCG(1, uint64(cut)))
	c := Cell{Workload: workload, Treatment: t, Load: load.Results{Pods: []string{""}, StartedAt: t0, Elapsed: 2*(held+12*time.Second) + 12*time.Second}}
	for at := time.Duration(0); at < c.Load.Elapsed; at += time.Duration(rng.ExpFloat64() * 4e6) {
		c.Load.Records = append(c.Load.Records, load.Record{Start: at, Latency: 40 * time.Millisecond, Kind: load.Kind(rng.IntN(3))})
	}
	for i := range 2 {
		start := t0.Add(4*time.Second + time.Duration(i)*(held+14*time.Second))
		for p := range 4 {
			deleted := start.Add(time.Duration(p+1) * 1800 * time.Millisecond)
			c.Lives = append(c.Lives, Life{
				Name: fmt.Sprintf("%s-%d-%d", workload, i, p), Injected: t == Policy,
				Deleted: deleted, Terminated: deleted.Add(held), Exited: deleted.Add(held + time.Second), Gone: deleted.Add(held + 1200*time.Millisecond),
			})
			for range cut {
				c.Load.Records = append(c.Load.Records, load.Record{Start: deleted.Add(held).Sub(t0), Kind: load.Kind(rng.IntN(3)), Cause: load.Cause(1 + rng.IntN(3))})
			}
		}
		c.Restarts = append(c.Restarts, Restart{Start: start, Complete: start.Add(8 * time.Second), Last: start.Add(8400*time.Millisecond + held)})
	}
	return c
}

func fakeReport() Report {
	cfg := Default()
	cfg.MinRequests = 4000
	return Conclude(Seen{Grace: fakeGrace(), Cells: []Cell{
		fakeCell(Abrupt, None, 200*time.Millisecond, 31), fakeCell(Shutdown, None, 300*time.Millisecond, 9), fakeCell(SDK, None, 300*time.Millisecond, 8),
		fakeCell(Abrupt, Sleep, 15*time.Second, 8), fakeCell(Shutdown, Sleep, 15*time.Second, 1), fakeCell(SDK, Sleep, 15*time.Second, 0),
		fakeCell(Abrupt, Policy, 12*time.Second, 1), fakeCell(Shutdown, Policy, 9*time.Second, 0), fakeCell(SDK, Policy, 7*time.Second, 0),
	}}, cfg, t0)
}

// The report is one file that loads nothing, and says what the verdict says.
func TestReportIsSelfContained(t *testing.T) {
	var page bytes.Buffer
	if err := fakeReport().WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("DEMO_REPORT"); path != "" {
		if err := os.WriteFile(path, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	html := page.String()
	for _, forbidden := range []string{"http://", "https://", "<script", "<link", "@import", "url(", "ZgotmplZ", "NaN", "<no value>"} {
		if strings.Contains(html, forbidden) {
			t.Errorf("the page contains %q", forbidden)
		}
	}
	for _, wanted := range []string{"every claim holds", "With a DrainPolicy, none of 17,", "<svg", "DrainPolicy", "sleep 15", "The grace period", "tuned, 20 s", "P99 5 s over 1 min (8,390 requests)"} {
		if !strings.Contains(html, wanted) {
			t.Errorf("the page does not contain %q", wanted)
		}
	}
	if got := strings.Count(html, "<svg"); got != 12 {
		t.Errorf("%d charts, want one for each of 9 cells, and one for each of 3 graces", got)
	}
}

// Each chapter makes a report of its own.
func TestReportOfOneChapter(t *testing.T) {
	for chapter, tc := range map[Chapter]struct{ has, hasNot string }{
		ChapterRollout: {"What cannot be perfect", "The grace period"},
		ChapterGrace:   {"The grace period", "What cannot be perfect"},
	} {
		cfg, full := Default(), fakeReport()
		cfg.Chapters, cfg.MinRequests = []Chapter{chapter}, 4000
		r := Conclude(Seen{Cells: full.Cells, Grace: fakeGrace()}, cfg, t0)
		var page bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			t.Fatal(err)
		}
		if html := page.String(); !r.Verdict.OK || !strings.Contains(html, tc.has) || strings.Contains(html, tc.hasNot) {
			t.Errorf("%s: failed claims %q; has %q: %t; has %q: %t", chapter, r.Verdict.Failed,
				tc.has, strings.Contains(html, tc.has), tc.hasNot, strings.Contains(html, tc.hasNot))
		}
	}
}
