package creations

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/test/perf"
)

func TestRecords(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	after := func(ms int, took time.Duration, injected bool, err error) Record {
		return Record{Due: at.Add(time.Duration(ms) * time.Millisecond), Took: took, Injected: injected, Err: err}
	}
	refused := errors.New("refused")
	all := Records{
		after(100, 7, true, nil), after(0, 9, true, nil), // the answers came in another order
		after(200, 8, false, nil), after(300, 5, false, refused), after(400, 6, true, nil),
	}
	kept := Result{Created: all, Deleted: all[:1]}.Between(at.Add(100*time.Millisecond), at.Add(400*time.Millisecond))
	got := map[string]any{
		"kept": kept.Created.Took(), "kept deletions": len(kept.Deleted), "injected": all.Injected().Took(), "missed": all.Missed().Took(),
		"failed": all.Failed().Took(), "why": kept.Created.Why().Error(), "span": all.Span(), "rate": all.Rate(), "rate of none": Records{}.Rate(),
	}
	want := map[string]any{
		"kept": perf.Sample{7, 8, 5}, "kept deletions": 1, "injected": perf.Sample{7, 9, 6}, "missed": perf.Sample{8},
		"failed": perf.Sample{5}, "why": "after 0s: refused", "span": 400 * time.Millisecond, "rate": 10.0, "rate of none": 0.0,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
