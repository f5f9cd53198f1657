package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	// One request a second, the nth of which takes n ms.
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := Results{StartedAt: start}
	for n := range 100 {
		took := time.Duration(n+1) * time.Millisecond
		r.Records = append(r.Records, Record{Start: time.Duration(n+1)*time.Second - took, Latency: took})
	}
	r.Records = append(r.Records, Record{Start: 50 * time.Second, Latency: time.Hour, Cause: TimedOut})
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	got := map[string]time.Duration{
		"the middle":           r.Quantile(0.5),
		"nearly all":           r.Quantile(0.99),
		"between two":          r.Quantile(0.985),
		"all":                  r.Quantile(1),
		"the least":            r.Quantile(0),
		"the last of a window": r.Quantile(1, r.EndedWithin(at(10), at(20))),
		"the first of it":      r.Quantile(0, r.EndedWithin(at(10), at(20))),
		"of nothing":           r.Quantile(0.99, r.EndedWithin(at(1000), at(2000))),
	}
	want := map[string]time.Duration{
		"the middle": 50 * time.Millisecond, "nearly all": 99 * time.Millisecond, "between two": 99 * time.Millisecond,
		"all": 100 * time.Millisecond, "the least": time.Millisecond,
		"the last of a window": 20 * time.Millisecond, "the first of it": 11 * time.Millisecond, "of nothing": 0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
