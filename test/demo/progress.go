package demo

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells a person at a terminal what goes on.
type progress struct {
	mu      sync.Mutex
	out     io.Writer
	started time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, started: time.Now()} }

// say writes a line with the time since the start. A terminal that is gone is
// no reason to stop.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := time.Since(p.started).Truncate(time.Second)
	_, _ = fmt.Fprintf(p.out, "%6s  %s\n", since, fmt.Sprintf(format, args...))
}

// showEvery is the distance of progress lines.
const showEvery = 3 * time.Second

// show writes a line on all cells of a treatment every few seconds until the
// function it returns is called.
func (p *progress) show(ctx context.Context, t Treatment, runs []*cellRun) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() {
		for pause(ctx, showEvery) == nil {
			p.say("%-11s  %s", t.Title(), strings.Join(looks(ctx, runs), "   "))
		}
	})
	return func() {
		cancel()
		shown.Wait()
	}
}

func looks(ctx context.Context, runs []*cellRun) []string {
	var cells []string
	for _, r := range runs {
		cells = append(cells, r.look(ctx))
	}
	return cells
}

// look is a cell's state now: what is unknown at the moment is left out.
func (r *cellRun) look(ctx context.Context) string {
	draining := 0
	for _, l := range r.pods.lives() {
		if l.Draining() {
			draining++
		}
	}
	live, err := r.loader.Live(ctx)
	if err != nil {
		return fmt.Sprintf("%s: %d draining", r.workload, draining)
	}
	return fmt.Sprintf("%s: %5d sent %3d failed %d draining", r.workload, live.Requests, live.Failed, draining)
}
