package observe

import (
	"context"
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

// Limits bound what looking at metrics pages may cost. Where a field is 0, its
// default applies.
type Limits struct {
	// PodsPerRound is how many pods of a policy are looked at in a round; 10.
	PodsPerRound int
	// Scrapes is how many pages are read at a time in the whole process; 16.
	Scrapes int
	// PodTimeout is how long one page may take; 5 s.
	PodTimeout time.Duration
	// Loopback lets pods have loopback addresses: for tests and benchmarks.
	Loopback bool
}

func (l Limits) withDefaults() Limits {
	if l.PodsPerRound <= 0 {
		l.PodsPerRound = 10
	}
	if l.Scrapes <= 0 {
		l.Scrapes = 16
	}
	if l.PodTimeout <= 0 {
		l.PodTimeout = 5 * time.Second
	}
	return l
}

// Factory makes the observers of a process. It is safe for concurrent use.
type Factory struct {
	sources Sources
	scraper *scraper
}

// New returns a Factory whose observers share the sources and the limits.
func New(sources Sources, limits Limits) *Factory {
	return &Factory{sources: sources, scraper: newScraper(limits.withDefaults())}
}

// For returns the observer of one policy, to be kept from round to round for as
// long as the policy lives. It asks nobody yet.
func (f *Factory) For(_ *v1alpha1.DrainPolicy) Observer { return &follower{factory: f} }

// follower sees whatever the policy's current spec asks for.
type follower struct {
	factory *Factory
	pages   *pages
}

// Observe implements Observer.
func (f *follower) Observe(ctx context.Context, target Target) (latency.Summary, error) {
	asked := target.Policy.Spec.GracePeriod.Latency
	if asked == nil || asked.PodMetrics == nil {
		f.pages = nil
	}
	switch {
	case asked != nil && asked.Prometheus != nil:
		return f.factory.sources.askPrometheus(ctx, target)
	case asked != nil && asked.PodMetrics != nil:
		if !f.pages.fit(asked) {
			f.pages = newPages(asked)
		}
		return f.pages.observe(ctx, f.factory.scraper, target)
	}
	return latency.Summary{}, failf(v1alpha1.ReasonNotAskedFor, "the policy names no source of latency")
}
