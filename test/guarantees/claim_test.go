package guarantees

import (
	"testing"
)

func TestWordsClaimOnlyWhatWasSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		pods int
		seen Seen
		want string
	}{
		"enough, none failed":     {8, Seen{Client: Fresh, Requests: 10_000}, "**none** of 10,000"},
		"one too few":             {8, Seen{Client: Fresh, Requests: 9_999}, "0 of 9,999"},
		"enough, but no pod went": {0, Seen{Client: Fresh, Requests: 12_345}, "0 of 12,345"},
		"one failed":              {8, Seen{Client: Busy, Requests: 1_234_567, Failures: map[string]int{"reset": 1}}, "1 reset of 1,234,567"},
		"several causes":          {8, Seen{Client: Busy, Requests: 100, Failures: map[string]int{"reset": 3, "closed": 1, "timeout": 0}}, "1 closed, 3 reset of 100"},
		"zeros are no failures":   {8, Seen{Client: Busy, Requests: 10_001, Failures: map[string]int{"reset": 0}}, "**none** of 10,001"},
		"sessions":                {8, Seen{Client: WebSocket, Requests: 20_000, Ended: 40, Told: 40}, "**none** of 20,000; 40 of 40 told"},
		"sessions cut":            {8, Seen{Client: WebSocket, Requests: 20_000, Ended: 40, Told: 38, Failures: map[string]int{CutUntold: 2, Lost: 1}}, "2 cut untold, 1 message lost of 20,000; 38 of 40 told"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (Cell{Pods: tc.pods}).words(tc.seen); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNumber(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := number(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
