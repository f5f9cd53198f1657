package load

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func take(s *shape, n int) []planned {
	var ps []planned
	for range n {
		ps = append(ps, s.next())
	}
	return ps
}

func TestShapeIsRepeatable(t *testing.T) {
	cfg := Mixed("")
	first := take(newShape(cfg, 1, 100), 1000)
	if diff := cmp.Diff(first, take(newShape(cfg, 1, 100), 1000), cmp.AllowUnexported(planned{})); diff != "" {
		t.Errorf("the same seed gave other requests:\n%s", diff)
	}
	if cmp.Equal(first, take(newShape(cfg, 2, 100), 1000), cmp.AllowUnexported(planned{})) {
		t.Error("two streams send the same requests")
	}
}

func TestShapeHasTheDistributionAskedFor(t *testing.T) {
	const n = 50_000
	ps := take(newShape(Mixed(""), 1, 100), n)
	works := make([]time.Duration, n)
	var total time.Duration
	posts := 0
	for i, p := range ps {
		works[i] = p.work
		total += p.after
		if p.method == POST {
			posts++
		}
	}
	slices.Sort(works)
	for name, c := range map[string]struct{ got, low, high time.Duration }{
		"shortest":          {works[0], 5 * time.Millisecond, 5 * time.Millisecond},
		"median":            {works[n/2], 38 * time.Millisecond, 42 * time.Millisecond},
		"99th percentile":   {works[n*99/100], 1800 * time.Millisecond, 2200 * time.Millisecond},
		"longest":           {works[n-1], 5 * time.Second, 5 * time.Second},
		"mean distance":     {total / n, 9800 * time.Microsecond, 10200 * time.Microsecond},
		"POSTs, as percent": {time.Duration(posts * 100 / n), 49, 51},
	} {
		if c.got < c.low || c.got > c.high {
			t.Errorf("%s is %v, not from %v to %v", name, c.got, c.low, c.high)
		}
	}
}
