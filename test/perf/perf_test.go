package perf

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	hundred := Sample{}
	for i := 100; i > 0; i-- {
		hundred = append(hundred, time.Duration(i))
	}
	tests := map[string]struct {
		sample Sample
		q      float64
		want   time.Duration
	}{
		"median of an even number is the lower one": {hundred, 0.5, 50},
		"p99 of a hundred is the second longest":    {hundred, 0.99, 99},
		"p99 of few is the longest":                 {hundred[:20], 0.99, 100},
		"p0 is the shortest":                        {hundred, 0, 1},
		"p100 is the longest":                       {hundred, 1, 100},
		"one":                                       {Sample{7}, 0.99, 7},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.sample.Quantile(tc.q); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

func TestVerdict(t *testing.T) {
	tests := map[string]struct {
		figure Figure
		want   Verdict
	}{
		"no bound":  {Figure{Value: 5}, Told},
		"below":     {Figure{Value: 5}.AtMost(6), Pass},
		"equal":     {Figure{Value: 5}.AtMost(5), Pass},
		"above":     {Figure{Value: 5.001}.AtMost(5), Over},
		"no number": {Figure{Value: math.NaN()}.AtMost(5), Over},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.figure.Verdict(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestAmount(t *testing.T) {
	for value, want := range map[float64]string{0: "0.00 ms", 1.234: "1.23 ms", 56.78: "56.8 ms", 789.6: "790 ms", 12345: "12345 ms"} {
		if got := (Figure{Unit: "ms"}).Amount(value); got != want {
			t.Errorf("%v is %q, want %q", value, got, want)
		}
	}
}

func TestReportIsKeptByGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reports", "bench.json")
	report, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	report.Add(Run{Group: "a", At: at}, []Figure{{Group: "a", What: "old"}, {Group: "a", What: "older"}})
	report.Add(Run{Group: "b", At: at}, []Figure{Figure{Group: "b", What: "size", Value: 2, Unit: "MB"}.AtMost(1)})
	report.Add(Run{Group: "a", At: at, CPUs: 2}, []Figure{{Group: "a", What: "new"}})
	if err := report.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	over := Figure{Group: "b", What: "size", Value: 2, Unit: "MB"}.AtMost(1)
	want := Report{
		Runs:    []Run{{Group: "b", At: at}, {Group: "a", At: at, CPUs: 2}},
		Figures: []Figure{over, {Group: "a", What: "new"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Figure{over}, got.Over()); diff != "" {
		t.Errorf("over (-want +got):\n%s", diff)
	}
}

func TestTable(t *testing.T) {
	report := Report{
		Runs: []Run{{Group: "agent", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Seconds: 61.2, CPUs: 2, LoadBefore: 0.31}},
		Figures: []Figure{
			Figure{Group: "agent", What: "size", Value: 5.2, Unit: "MB", Samples: 1}.AtMost(10),
			{Group: "agent", What: "CPU", Value: 0.3, Unit: "%", Samples: 3},
			Figure{Group: "injection", What: "10 policies, p99", Value: 1.71, Unit: "x", Samples: 1000}.AtMost(1.5),
		},
	}
	var out strings.Builder
	if err := report.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	want := `
AGENT   FIGURE   BOUND       SAMPLES
  size  5.20 MB  <= 10.0 MB  1        PASS
  CPU   0.30 %   -           3

INJECTION           FIGURE  BOUND      SAMPLES
  10 policies, p99  1.71 x  <= 1.50 x  1000     OVER

agent: 2026-01-02 03:04:05 UTC, 61 s, 2 CPUs, load average before 0.3
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}
