package waiting

import (
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// longLived is what becomes of long-lived connections.
type longLived struct {
	policy drainstatus.LongLived
	// notice is over so long after the workload was told.
	notice time.Duration
	// told is when that was, Never while it is still to come.
	told time.Duration
}

func newLongLived(spec hold.Spec) longLived {
	if spec.LongLived == nil {
		return longLived{policy: drainstatus.Exclude}
	}
	told := time.Duration(0)
	if spec.Notify != nil {
		told = Never
	}
	return longLived{policy: drainstatus.LongLived(spec.LongLived.Policy), notice: Notice(spec).Over(), told: told}
}

// Notice is over which time the workload is to tell the clients of long-lived
// connections; nil where the policy does not say.
func Notice(spec hold.Spec) *drainstatus.Notice {
	if spec.LongLived == nil {
		return nil
	}
	return &drainstatus.Notice{AfterSeconds: spec.PropagationSeconds, Seconds: spec.LongLived.NoticeSeconds}
}

// over is when the connections no longer count; Never where that is not known,
// or they always do.
func (l longLived) over() time.Duration {
	if l.policy != drainstatus.CloseAfter || l.told == Never {
		return Never
	}
	return l.told + l.notice
}

// standing is the policy as it stands at a time.
func (l longLived) standing(at time.Duration) drainstatus.LongLived {
	return l.policy.Standing(at >= l.over())
}

// Glanced takes the reading of a look that was taken when the hook began, to see
// how old the long-lived connections were: later on the oldest are told to go.
// It has no part in when the hold ends.
func (h *Hold) Glanced(at time.Duration, r drainstatus.Reading) { h.sawAge(at, r) }

// sawAge keeps how old the oldest connection was at the beginning that any
// reading tells of.
func (h *Hold) sawAge(at time.Duration, r drainstatus.Reading) {
	if r.State == drainstatus.Unreadable || r.OldestLongLivedSeconds <= 0 {
		return
	}
	age := time.Duration(min(r.OldestLongLivedSeconds, maxAgeSeconds) * float64(time.Second))
	h.oldest = max(h.oldest, age-at)
}

// maxAgeSeconds is the longest age that is told, some 30 years.
const maxAgeSeconds = 1e9

// wholeSeconds rounds up: a connection that there was is told of.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Told says that the workload was told to drain, or that it could not be: then
// nobody tells its clients, and to wait for longer would not change that.
func (h *Hold) Told(at time.Duration) { h.longLived.told = min(h.longLived.told, at) }
