package latency

import "time"

const (
	// slots that a window is divided into.
	slots = 20
	// maxSlots that are kept: the one that is being filled, the one that is
	// running out, and those between.
	maxSlots = slots + 2
)

// Window keeps the requests of the last while, in slots of a twentieth of its
// length. It takes at most 22 slots of 160 buckets of 16 bytes, 55 KiB, and some
// 3 KiB around them, however many requests there are and however long it runs;
// with the 14 buckets of a common classic histogram it takes 5 KiB and these. It
// is not safe for concurrent use.
type Window struct {
	length time.Duration
	// kept slots, oldest first; never more than maxSlots.
	kept []slot
}

// slot has what was added from begin to end.
type slot struct {
	begin, end time.Time
	requests   Histogram
}

// NewWindow returns an empty window. A length below one second counts as one.
func NewWindow(length time.Duration) *Window {
	w := &Window{}
	w.SetLength(length)
	return w
}

// SetLength changes how long requests are kept. What a longer window would
// still have, and the shorter one has let go, does not come back.
func (w *Window) SetLength(length time.Duration) {
	w.length = max(length, time.Second)
}

// Add puts in the requests that were seen since the last call.
func (w *Window) Add(now time.Time, h Histogram) {
	w.turnBack(now)
	w.expire(now)
	if n := len(w.kept); n > 0 && now.Sub(w.kept[n-1].begin) < w.length/slots {
		last := &w.kept[n-1]
		last.requests = Merge(last.requests, h)
		last.end = now
		return
	}
	if len(w.kept) == maxSlots {
		w.mergeClosest()
	}
	w.kept = append(w.kept, slot{begin: now, end: now, requests: Merge(h, Histogram{})})
}

// Histogram returns the requests that were added within the window, and since
// when: the time of the oldest Add that is in it, zero if there is none.
// Requests are in it for the window's length at least, and for a slot more at
// most.
func (w *Window) Histogram(now time.Time) (h Histogram, since time.Time) {
	w.expire(now)
	if len(w.kept) == 0 {
		return Histogram{}, time.Time{}
	}
	for _, s := range w.kept {
		h = Merge(h, s.requests)
	}
	return h, w.kept[0].begin
}

// expire lets go of slots in which everything is older than the window.
func (w *Window) expire(now time.Time) {
	old := 0
	for old < len(w.kept) && now.Sub(w.kept[old].end) >= w.length {
		old++
	}
	if old > 0 {
		kept := copy(w.kept, w.kept[old:])
		clear(w.kept[kept:])
		w.kept = w.kept[:kept]
	}
}

// turnBack makes good for a clock that was set back: for the window no time
// has passed. Otherwise what it has would stay for as long as the clock went
// back.
func (w *Window) turnBack(now time.Time) {
	if len(w.kept) == 0 {
		return
	}
	back := now.Sub(w.kept[len(w.kept)-1].end)
	if back >= 0 {
		return
	}
	for i := range w.kept {
		w.kept[i].begin = w.kept[i].begin.Add(back)
		w.kept[i].end = w.kept[i].end.Add(back)
	}
}

// mergeClosest makes room after the window became longer, and its old slots
// are too short: the two neighbours that span the least become one.
func (w *Window) mergeClosest() {
	at := 0
	for i := range len(w.kept) - 1 {
		if w.span(i) < w.span(at) {
			at = i
		}
	}
	w.kept[at+1].requests = Merge(w.kept[at].requests, w.kept[at+1].requests)
	w.kept[at+1].begin = w.kept[at].begin
	w.kept = append(w.kept[:at], w.kept[at+1:]...)
}

func (w *Window) span(i int) time.Duration { return w.kept[i+1].end.Sub(w.kept[i].begin) }
