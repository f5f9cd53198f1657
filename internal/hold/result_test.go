package hold

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestLine(t *testing.T) {
	tests := map[string]struct {
		result Result
		want   string
	}{
		"drained": {
			Result{Outcome: OutcomeDrained, HeldSeconds: 6.46712345, RotationSeconds: 5.0004},
			`drain-operator: {"outcome":"Drained","held":6.467,"rotation":5}` + "\n",
		},
		"with its end and the trend": {
			Result{
				Outcome: OutcomeTimedOut, HeldSeconds: 45, InFlight: 3, Trend: TrendFalling,
				LastHookSeconds: 2.00049, EndedUnix: 1767323045.123, Reason: "3 in flight",
			},
			`drain-operator: {"outcome":"TimedOut","held":45,"inFlight":3,"trend":"Falling","lastHook":2,"ended":1767323045.123,"reason":"3 in flight"}` + "\n",
		},
		"with a stop signal": {
			Result{Outcome: OutcomeDrained, HeldSeconds: 5, Stop: "SIGQUIT"},
			`drain-operator: {"outcome":"Drained","held":5,"stop":"SIGQUIT"}` + "\n",
		},
		"with how old connections were": {
			Result{Outcome: OutcomeDrained, HeldSeconds: 6, OldestSeconds: 86401},
			`drain-operator: {"outcome":"Drained","held":6,"oldest":86401}` + "\n",
		},
		"timed out": {
			Result{Outcome: OutcomeTimedOut, HeldSeconds: 45, InFlight: 3, Reason: `still "busy"`},
			`drain-operator: {"outcome":"TimedOut","held":45,"inFlight":3,"reason":"still \"busy\""}` + "\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.result.Line(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// However long and odd a reason, the line keeps its bound and is read back.
func TestLineIsBounded(t *testing.T) {
	for _, reason := range []string{
		strings.Repeat("x", 1000), strings.Repeat("é", 500), strings.Repeat("\"", 500), strings.Repeat("\x00", 200),
		strings.Repeat("<", 300), strings.Repeat("\xff", 300), ResultPrefix + "\n" + ResultPrefix,
	} {
		want := Result{
			Outcome: OutcomeTimedOut, HeldSeconds: 12345.678, RotationSeconds: 12345.678, LastHookSeconds: 12345.678,
			InFlight: math.MaxInt64, Trend: TrendFalling, OldestSeconds: 1_000_000_001, EndedUnix: 9999999999.999, Stop: StopNotHandled, Reason: reason,
		}
		line := want.Line()
		if len(line) > MaxResultBytes || !utf8.ValidString(line) || strings.Count(line, "\n") != 1 {
			t.Errorf("%.20q: %d bytes: %q", reason, len(line), line)
		}
		got, ok, err := ParseMessage("words of the workload\n" + line)
		if err != nil || !ok {
			t.Errorf("%.20q: %v, %v: %q", reason, ok, err, line)
		}
		want.Reason, got.Reason = "", ""
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.20q (-want +got):\n%s", reason, diff)
		}
	}
}

func TestParseMessage(t *testing.T) {
	drained := Result{Outcome: OutcomeDrained, HeldSeconds: 5}
	tests := map[string]struct {
		message string
		want    Result
		ok      bool
		fails   bool
	}{
		"nothing":              {"", Result{}, false, false},
		"the workload's":       {"out of memory\n", Result{}, false, false},
		"ours":                 {drained.Line(), drained, true, false},
		"after the workload's": {"bye" + drained.Line(), drained, true, false},
		"the last one counts":  {Result{Outcome: OutcomeUnknown}.Line() + drained.Line() + "bye", drained, true, false},
		"of an older agent":    {ResultPrefix + `{"outcome":"Drained","held":5}` + "\n", drained, true, false},
		"of a newer agent":     {ResultPrefix + `{"outcome":"Drained","held":5,"surprise":1}` + "\n", drained, true, false},
		"ended before time":    {ResultPrefix + `{"outcome":"Drained","ended":-1}`, Result{}, true, true},
		"cut off":              {ResultPrefix + `{"outcome":"Dra`, Result{}, true, true},
		"unknown outcome":      {ResultPrefix + `{"outcome":"Fine"}`, Result{}, true, true},
		"negative":             {ResultPrefix + `{"outcome":"Drained","held":-1}`, Result{}, true, true},
		"too long":             {ResultPrefix + `{"outcome":"Drained","reason":"` + strings.Repeat("x", 300) + `"}`, Result{}, true, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok, err := ParseMessage(tc.message)
			if ok != tc.ok || (err != nil) != tc.fails {
				t.Errorf("got %v, %v", ok, err)
			}
			if diff := cmp.Diff(tc.want, got); !tc.fails && diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}
