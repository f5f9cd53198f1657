package drainstatus

import (
	"fmt"
	"testing"
)

func TestDrained(t *testing.T) {
	tests := map[string]struct {
		policy     LongLived
		noticeOver bool
		// Whether a status is drained with nothing left, with long-lived
		// connections left, with a request in flight.
		none, longLived, inFlight bool
	}{
		"Exclude":                     {Exclude, false, true, true, false},
		"Exclude, later":              {Exclude, true, true, true, false},
		"Wait":                        {Wait, false, true, false, false},
		"Wait, later":                 {Wait, true, true, false, false},
		"CloseAfter":                  {CloseAfter, false, true, false, false},
		"CloseAfter, later":           {CloseAfter, true, true, true, false},
		"none":                        {"", false, true, true, false},
		"one that nobody knows":       {"Forget", false, true, true, false},
		"one that nobody knows, late": {"Forget", true, true, true, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			standing := tc.policy.Standing(tc.noticeOver)
			for s, want := range map[Status]bool{
				{}:                          tc.none,
				{LongLived: 2}:              tc.longLived,
				{InFlight: 1}:               tc.inFlight,
				{InFlight: 1, LongLived: 2}: tc.inFlight,
			} {
				if got := s.Drained(standing); got != want {
					t.Errorf("%+v is drained: %v, want %v", s, got, want)
				}
				body := fmt.Sprintf(`{"version":1,"inFlight":%d,"longLived":%d}`, s.InFlight, s.LongLived)
				reading := EvaluateBody(answer(200, body), standing)
				if (reading.State == Drained) != want || reading.LongLived != s.LongLived {
					t.Errorf("%s reads %+v, want drained %v", body, reading, want)
				}
			}
		})
	}
}
