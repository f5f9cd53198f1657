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

// looker is something under way that can say in a few words how far it is.
type looker interface {
	look(ctx context.Context) string
}

// show writes a line under a title every few seconds until the function it
// returns is called.
func show[L looker](ctx context.Context, p *progress, title string, under []L) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() {
		for pause(ctx, showEvery) == nil {
			var looks []string
			for _, l := range under {
				looks = append(looks, l.look(ctx))
			}
			p.say("%-11s  %s", title, strings.Join(looks, "   "))
		}
	})
	return func() {
		cancel()
		shown.Wait()
	}
}
