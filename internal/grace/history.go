package grace

import "time"

// pause is how long nobody may have looked for the history to go on: twice the
// longest time between two looks that the operator's owner can ask for.
const pause = 20 * time.Minute

// History is what was recommended lately, for stabilization. The zero value
// is that of a process that has just begun: it goes on from what the status
// says, so that a change of leader lowers nothing early. It is a value:
// Recommend does not change the one that it was given.
//
// It holds one entry per distinct value, and recommendations are whole steps
// up to an hour: at most 720 of 32 bytes, however long the window is and
// however often it is looked.
type History struct {
	// began is the first look, at the last one.
	began, at time.Time
	// known says whether terms are of hold and shutdown together, or of the
	// hold alone, since the shutdown is not known.
	known bool
	terms peaks
	// shutdown as drains told it.
	shutdown peaks
}

// interrupted says that the history does not lead up to now.
func (h History) interrupted(now time.Time) bool {
	return now.Before(h.at) || now.Sub(h.at) > pause
}

// peak is a value, and when it was last asked for.
type peak struct {
	at      time.Time
	seconds int64
}

// peaks are the values of a window that no later value has reached: the first
// is the highest of the window, and what follows are those that will be. By
// ascending time and descending value.
type peaks []peak

// add returns the peaks of the window that ends now, with a value in it.
func (p peaks) add(now time.Time, value int64, window time.Duration) peaks {
	kept := make(peaks, 0, len(p)+1)
	for _, was := range p {
		if now.Sub(was.at) < window && was.seconds > value {
			kept = append(kept, was)
		}
	}
	return append(kept, peak{at: now, seconds: value})
}
