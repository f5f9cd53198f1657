package guarantees

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Enough is how many requests, without one that failed, "none" is claimed for.
const Enough = 10_000

// Claimed says whether it is claimed that nothing fails: nothing did, in enough
// requests while pods ended.
func (c Cell) Claimed(s Seen) bool { return c.Pods > 0 && s.Failed() == 0 && s.Requests >= Enough }

// words are the figures of a client as the page shows them.
func (c Cell) words(s Seen) string {
	var text string
	switch {
	case c.Claimed(s):
		text = "**none** of " + number(s.Requests)
	case s.Failed() == 0:
		text = "0 of " + number(s.Requests)
	default:
		text = fmt.Sprintf("%s of %s", byCause(s.Failures), number(s.Requests))
	}
	if s.Client.LongLived() {
		text += fmt.Sprintf("; %s of %s told", number(s.Told), number(s.Ended))
	}
	return text
}

func byCause(failures map[string]int) string {
	var parts []string
	for _, cause := range slices.Sorted(maps.Keys(failures)) {
		if n := failures[cause]; n > 0 {
			parts = append(parts, number(n)+" "+cause)
		}
	}
	return strings.Join(parts, ", ")
}

// number writes a number with separators of thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
