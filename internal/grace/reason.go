package grace

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	// maxReasonBytes is the API's bound.
	maxReasonBytes = 1024

	clock    = "15:04 UTC"
	dayClock = "2006-01-02 15:04 UTC"
)

// measuredReason shows the sum. Times in it are absolute: a text that counts
// down would differ with every look.
func (r *round) measuredReason(until time.Time) string {
	wanted := r.asked()
	if r.Latency.TooCoarse {
		most := r.within(r.set.max)
		return limited(fmt.Sprintf("%s, the last bound of the histogram, which is too coarse to say more → %d s (maxSeconds)%s",
			r.latencyWords(), most, r.standsWords(most, until)))
	}
	sum := r.latencyWords() + r.budgetWords() + "; + propagation " + r.propagationWords() + r.noticeWords() +
		" + shutdown " + r.shutdownWords() + " → " + secondsWords(wanted)
	if floor := r.floor(); floor > 0 && floor == wanted {
		sum += fmt.Sprintf(", the pod's own: %s requests are needed for less", thousands(RequestsToShorten))
	}
	within := r.within(wanted)
	switch {
	case wanted > within && within > r.set.max:
		sum += fmt.Sprintf(", at most %d s (the pod's own grace)", within)
	case wanted > within:
		sum += fmt.Sprintf(", at most %d s (maxSeconds)", within)
	case wanted < within:
		sum += fmt.Sprintf(", at least %d s (minSeconds)", within)
	}
	return limited(sum + r.standsWords(within, until))
}

// asked is the grace that measurements ask for now. Seconds, not clamped.
func (r *round) asked() int64 {
	wanted := r.wanted()
	if !r.shutdown.known {
		wanted += r.own
	}
	return wanted
}

// standsWords says what became of what was asked for.
func (r *round) standsWords(wanted int64, until time.Time) string {
	stands := int64(r.status.RecommendedSeconds)
	words := ""
	switch {
	case stands <= wanted:
	case r.raisedNow():
		words = "; " + r.raisedWords(stands)
	case r.Latency.RequestsUnknown:
		words = fmt.Sprintf("; stays %d s: a value without a number of requests only raises it", stands)
	default:
		words = fmt.Sprintf("; stays %d s until %s", stands, until.UTC().Add(time.Minute-1).Format(clock))
	}
	return words + r.wasWords(stands)
}

// wasWords says what was recommended before, where that was something else.
func (r *round) wasWords(stands int64) string {
	if was := int64(r.was.RecommendedSeconds); was != 0 && was != stands {
		return fmt.Sprintf(" (was %d s)", was)
	}
	return ""
}

func (r *round) raisedNow() bool {
	return r.status.RaisedAt != nil && r.status.RaisedAt.Time.Equal(r.Now)
}

func (r *round) raisedWords(stands int64) string {
	return fmt.Sprintf("raised by a step to %d s: a drain ran out of time while its requests were becoming fewer", stands)
}

// staysReason says what stands, and why nothing new is recommended.
func (r *round) staysReason() string {
	stands := int64(r.status.RecommendedSeconds)
	end := fmt.Sprintf(": %d s stays", stands)
	switch was := r.wasWords(stands); {
	case r.raisedNow():
		end = "; " + r.raisedWords(stands) + was
	case was != "":
		end = fmt.Sprintf("; with shutdown %s → %d s%s", r.shutdownWords(), stands, was)
	}
	return limited(r.missingWords() + end)
}

// missingWords says what keeps the latency from being believed.
func (r *round) missingWords() string {
	switch {
	case !r.set.source:
		return "no source of latency is set"
	case r.Latency != nil && r.Latency.RequestsUnknown && r.Latency.TooCoarse:
		return "the latency is longer than its histogram can say, and of an unknown number of requests"
	case r.Latency != nil && r.Latency.RequestsUnknown:
		return fmt.Sprintf("P%s %s of an unknown number of requests asks for no more", r.set.percentile, durationWords(bounded(r.Latency.Latency)))
	case r.Latency != nil:
		return fmt.Sprintf("%s requests over %s are fewer than the %d that a percentile must stand on",
			thousands(r.status.Requests), r.overWords(), MinRequests)
	case r.was.ObservedAt != nil:
		return "no latency could be seen since " + r.was.ObservedAt.UTC().Format(dayClock)
	}
	return "no latency was seen yet"
}

func (r *round) unmeasuredReason(grace int64) string {
	sum := fmt.Sprintf("%s: propagation %d s (propagationMaxSeconds)%s + budget %d s (the pod's own grace) + shutdown %s → %d s",
		r.missingWords(), r.set.propagationMax, r.noticeWords(), r.own, r.shutdownWords(), grace)
	stands := int64(r.status.RecommendedSeconds)
	switch {
	case stands < grace:
		sum += fmt.Sprintf(", at most %d s (maxSeconds, or the pod's own)", stands)
	case stands > grace:
		sum += fmt.Sprintf(", at least %d s (minSeconds)", stands)
	}
	return limited(sum + r.wasWords(stands))
}

func (r *round) latencyWords() string {
	p := r.Latency
	requests := thousands(p.Requests) + " requests"
	if p.RequestsUnknown {
		requests = "requests not counted"
	}
	than := ""
	if p.TooCoarse {
		than = "more than "
	}
	return fmt.Sprintf("P%s %s%s over %s (%s)", r.set.percentile, than, durationWords(bounded(p.Latency)), r.overWords(), requests)
}

// budgetWords says what the budget is, and which of its parts decided.
func (r *round) budgetWords() string {
	margin := fmt.Sprintf(" + %d %% → %s", r.set.margin, durationWords(r.need.latency))
	switch budget := r.need.budget(); budget {
	case r.need.latency:
		return margin
	case r.need.residual:
		return margin + fmt.Sprintf("; %s in flight still need %s at P%s → %[2]s", r.inFlightWords(), durationWords(budget), r.set.percentile)
	default:
		return margin + fmt.Sprintf("; a drain needed %s → %[1]s", durationWords(budget))
	}
}

// inFlightWords says how many requests a pod has in flight, where it is more
// than one or so.
func (r *round) inFlightWords() string {
	if n := r.Latency.InFlight; n >= 1.5 {
		return "the " + thousands(int64(math.Round(min(n, maxReasonableSeconds)))) + " requests"
	}
	return "requests"
}

func (r *round) propagationWords() string {
	from := "propagationMaxSeconds"
	if r.need.observed {
		from = "observed"
	}
	return fmt.Sprintf("%s (%s)", durationWords(r.need.propagation), from)
}

// noticeWords says what long-lived connections add.
func (r *round) noticeWords() string {
	if r.set.notice == 0 {
		return ""
	}
	return fmt.Sprintf(" + notice %d s", r.set.notice)
}

func (r *round) shutdownWords() string {
	from := "the pod's own grace"
	switch {
	case r.shutdown.given:
		from = "given"
	case r.shutdown.known:
		from = "measured"
	case r.shutdown.killed:
		from = "the pod's own grace, since a process was killed"
	}
	return fmt.Sprintf("%d s (%s)", r.shutdown.seconds, from)
}

// overWords is how far back requests were looked at: the window, or less when
// it has not filled yet.
func (r *round) overWords() string {
	over := r.Latency.At.Sub(r.Latency.Since)
	if r.Latency.Since.IsZero() || over <= 0 || over > r.set.window*19/20 {
		over = r.set.window
	}
	return spanWords(over)
}

func secondsWords(n int64) string { return strconv.FormatInt(n, 10) + " s" }

// durationWords rounds up: to milliseconds below a second, to tenths above it.
func durationWords(d time.Duration) string {
	if ms := ceil(d, time.Millisecond); ms < 1000 {
		return strconv.FormatInt(ms, 10) + " ms"
	}
	tenths := ceil(d, time.Second/10)
	if tenths%10 == 0 {
		return secondsWords(tenths / 10)
	}
	return fmt.Sprintf("%d.%d s", tenths/10, tenths%10)
}

// spanWords: 1 h, 1 h 30 min, 5 min, 40 s.
func spanWords(d time.Duration) string {
	if d < time.Minute {
		return secondsWords(ceil(d, time.Second))
	}
	var words []string
	minutes := int64(d / time.Minute)
	if minutes >= 60 {
		words = append(words, fmt.Sprintf("%d h", minutes/60))
	}
	if minutes%60 > 0 {
		words = append(words, fmt.Sprintf("%d min", minutes%60))
	}
	return strings.Join(words, " ")
}

// thousands separates groups of three digits by commas.
func thousands(n int64) string {
	digits := strconv.FormatInt(max(n, 0), 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// limited keeps a text within the API's bound.
func limited(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxReasonBytes)], "")
}
