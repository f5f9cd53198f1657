package observe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/drain-operator/drain-operator/internal/latency"
)

func TestSince(t *testing.T) {
	type counts = map[float64]float64
	tests := map[string]struct{ was, is, want latency.Histogram }{
		"requests came":       {buckets(counts{1: 10, 2: 5, inf: 1}, 30), buckets(counts{1: 15, 2: 5, inf: 3}, 50), buckets(counts{1: 5, 2: 0, inf: 2}, 20)},
		"none came":           {buckets(counts{1: 10, inf: 1}, 30), buckets(counts{1: 10, inf: 1}, 30), buckets(counts{1: 0, inf: 0}, 0)},
		"nothing before":      {latency.Histogram{}, buckets(counts{1: 10, inf: 1}, 30), buckets(counts{1: 10, inf: 1}, 30)},
		"begun anew":          {buckets(counts{1: 10, inf: 1}, 30), buckets(counts{1: 3, inf: 0}, 2), buckets(counts{1: 3, inf: 0}, 2)},
		"begun anew, busier":  {buckets(counts{1: 10, inf: 1}, 30), buckets(counts{1: 30, inf: 0}, 2), buckets(counts{1: 30, inf: 0}, 2)},
		"a new bucket":        {buckets(counts{1: 10}, 10), buckets(counts{1: 11, 4: 2}, 18), buckets(counts{1: 1, 4: 2}, 8)},
		"coarser":             {buckets(counts{1: 10, 2: 5, 4: 3}, 30), buckets(counts{2: 16, 4: 4}, 33), buckets(counts{2: 1, 4: 1}, 3)},
		"the last bound gone": {buckets(counts{1: 10, 2: 5}, 20), buckets(counts{1: 12}, 12), buckets(counts{1: 12}, 12)},
		"the sum fell":        {buckets(counts{1: 10}, 20), buckets(counts{1: 12}, 12), buckets(counts{1: 2}, nan)},
		"the last digits":     {buckets(counts{1: 0.3, 2: 1}, 1), buckets(counts{1: 0.3 - 1e-17, 2: 3}, 2), buckets(counts{1: 0, 2: 2}, 1)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := since(tc.was, tc.is)
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateApprox(1e-9, 1e-12), cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("came (-want +got):\n%s", diff)
			}
		})
	}
}
