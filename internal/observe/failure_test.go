package observe

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPresentable(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"plain":              {"none of 3 pods answered", "none of 3 pods answered"},
		"lines and tabs":     {"a\n\tb\r\nc", "a b c"},
		"control characters": {"a\x1b[31mb\x00c\u202ed", "a[31mbcd"},
		"not UTF-8":          {"a\xff\xfeb", "a b"},
		"other scripts":      {"größer 日本", "größer 日本"},
		"too long":           {strings.Repeat("x", 600), strings.Repeat("x", maxMessageBytes-3) + "..."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := failf("", "%s", tc.text).Message; got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Wherever the cut falls, what is left is whole characters.
func TestClipped(t *testing.T) {
	for limit := 4; limit < 40; limit++ {
		got := clipped(strings.Repeat("aß日", 20), limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("limit %d: %q", limit, got)
		}
	}
}
