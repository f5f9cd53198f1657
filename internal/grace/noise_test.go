package grace

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const looksPerDay = int(24 * time.Hour / roundEvery)

// observed is a controller that writes the status when there is something to
// notice, and counts.
type observed struct {
	*leader
	changes, writes int
}

func (o *observed) round(s *latency.Summary) {
	o.facts.Latency, o.facts.Was = s, ptr.To(*o.facts.Was)
	was := o.facts.Was
	o.take()
	if o.facts.Was.RecommendedSeconds != was.RecommendedSeconds {
		o.changes++
	}
	if Noticeable(was, o.facts.Was) {
		o.writes++
	} else {
		o.facts.Was = was
	}
	o.facts.Now = o.facts.Now.Add(roundEvery)
}

// noisy looks for two days at latencies around p, each independently within
// noise of it, and returns changes and writes of the second.
func noisy(c chance, p time.Duration, noise float64) (changes, writes int) {
	l := newLeader(spec(shutdownGiven(2)))
	l.look(p)
	o := observed{leader: l}
	for look := range 2 * looksPerDay {
		if look == looksPerDay {
			o.changes, o.writes = 0, 0
		}
		now := float64(p) * (1 + noise*(2*c.Float64()-1))
		o.round(&latency.Summary{Requests: 12000 + c.Int64N(1000), Latency: time.Duration(now), At: o.facts.Now})
	}
	return o.changes, o.writes
}

// The figures stand in docs/grace.md. Noise of a window's percentile is
// smaller than that of a moment's, and never independent from look to look:
// this is the worst of its kind.
func TestNoise(t *testing.T) {
	seed := seedOf(t)
	for _, tc := range []struct {
		noise float64
		most  float64 // changes per day, on average over latencies
	}{
		{0.05, 2}, {0.1, 2}, {0.2, 3}, {0.3, 3}, {0.5, 4},
	} {
		t.Run(fmt.Sprintf("%.0f %%", tc.noise*100), func(t *testing.T) {
			const runs = 40
			changes := make([]int, runs)
			total, writes := 0, 0
			for run := range changes {
				c := random(seed, uint64(run))
				p := time.Duration(math.Pow(10, -1+2.5*c.Float64()) * float64(time.Second)) // 0.1 s to 31 s
				var written int
				changes[run], written = noisy(c, p, tc.noise)
				total += changes[run]
				writes += written
			}
			slices.Sort(changes)
			mean := float64(total) / runs
			t.Logf("changes per day: mean %.2f, median %d, 95 of 100 at most %d, most %d; writes per day: mean %.1f",
				mean, changes[runs/2], changes[runs*95/100], changes[runs-1], float64(writes)/runs)
			if mean > tc.most {
				t.Errorf("%.2f changes per day, want at most %.1f", mean, tc.most)
			}
		})
	}
}

// A latency that wavers between two buckets is written now and then, and the
// grace that follows the higher one stays.
func TestSteadyHour(t *testing.T) {
	c := random(seedOf(t), 0)
	for name, tc := range map[string]struct {
		latency func() time.Duration
		most    int
	}{
		"a tenth of noise":    {func() time.Duration { return 4*time.Second + time.Duration(c.Int64N(int64(400*time.Millisecond))) }, 3},
		"between two buckets": {func() time.Duration { return cmp.Or(time.Duration(c.IntN(2))*5*time.Second, 2500*time.Millisecond) }, 5},
		"sometimes the higher one": {func() time.Duration {
			return []time.Duration{5 * time.Second, 2500 * time.Millisecond}[min(c.IntN(20), 1)]
		}, 5},
		"within the bucket, exactly": {func() time.Duration { return 5 * time.Second }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeader(spec(shutdownGiven(2)))
			l.looks(2*time.Hour, 5*time.Second)
			o := observed{leader: l}
			for range int(time.Hour / roundEvery) {
				o.round(&latency.Summary{Requests: 12000 + c.Int64N(1000), Latency: tc.latency(), At: o.facts.Now})
			}
			t.Logf("%d writes, %d changes of the recommendation", o.writes, o.changes)
			if o.writes > tc.most {
				t.Errorf("%d writes, want at most %d", o.writes, tc.most)
			}
		})
	}
}

// leaky is a workload some of whose pods never count down to 0, beside real
// requests of which some take long.
type leaky struct {
	chance
	leaks  float64 // of the pods
	median time.Duration
	spread float64 // of the logarithm
	seen   float64 // how much of the P99 the metrics tell
	every  int     // looks from rollout to rollout
}

// p99 is the latency as the metrics have it.
func (w leaky) p99() time.Duration {
	return time.Duration(w.seen * float64(w.median) * math.Exp(2.33*w.spread))
}

// drain one pod whose hold may take so many seconds: 20 requests are in
// flight when it is out of rotation. The trend is Falling when one of them
// ended in the last quarter of its drain.
func (w leaky) drain(now time.Time, hold int32) v1alpha1.DrainRecord {
	const shutdown = 2
	propagation := 3 + w.Int32N(6)
	time := max(hold-propagation, 1)
	left, late, longest := 0, 0, 0.0
	for range 20 {
		needs := w.median.Seconds() * math.Exp(w.spread*w.NormFloat64())
		longest = max(longest, needs)
		if needs > float64(time) {
			left++
		} else if needs > 0.75*float64(time) {
			late++
		}
	}
	leaked := w.Float64() < w.leaks
	record := v1alpha1.DrainRecord{
		PropagationSeconds: ptr.To(propagation), ShutdownSeconds: ptr.To[int32](shutdown), EndedAt: metav1.NewTime(now),
	}
	if left == 0 && !leaked {
		record.Outcome, record.Cause = v1alpha1.OutcomeDrained, v1alpha1.CauseHoldEnded
		record.DrainSeconds = ptr.To(int32(math.Ceil(longest)))
		record.DurationSeconds = propagation + *record.DrainSeconds + shutdown
		return record
	}
	record.Outcome, record.Cause = v1alpha1.OutcomeTimedOut, v1alpha1.CauseBoundReached
	record.DrainSeconds, record.DurationSeconds, record.InFlight = ptr.To(time), hold+shutdown, int64(left+1)
	record.InFlightTrend = v1alpha1.TrendSteady
	if late > 0 {
		record.InFlightTrend = v1alpha1.TrendFalling
	}
	return record
}

// Four weeks of rollouts. A leaked counter uses all the time that there is,
// again and again: the grace must not follow it. It does follow requests that
// really need longer than the metrics tell, and no further than they need; a
// single late request makes one step, which is taken back.
func TestLeakedCounters(t *testing.T) {
	seed := seedOf(t)
	const short, long = 300 * time.Millisecond, 5 * time.Second
	for name, tc := range map[string]struct {
		workload leaky
		most     int32
	}{
		"no pod leaks":                         {leaky{leaks: 0, median: short, spread: 1, seen: 1, every: 240}, 45},
		"every pod leaks":                      {leaky{leaks: 1, median: short, spread: 1, seen: 1, every: 240}, 45},
		"half of them leak":                    {leaky{leaks: 0.5, median: short, spread: 1, seen: 1, every: 240}, 45},
		"none leaks, requests vary more":       {leaky{leaks: 0, median: short, spread: 1.7, seen: 1, every: 240}, 120},
		"half leak, requests vary more":        {leaky{leaks: 0.5, median: short, spread: 1.7, seen: 1, every: 240}, 120},
		"all leak, and metrics tell a tenth":   {leaky{leaks: 1, median: long, spread: 1, seen: 0.1, every: 30}, 240},
		"none leaks, and metrics tell a tenth": {leaky{leaks: 0, median: long, spread: 1, seen: 0.1, every: 30}, 240},
	} {
		t.Run(name, func(t *testing.T) {
			w := tc.workload
			w.chance = random(seed, 7)
			l := newLeader(spec())
			l.look(w.p99())
			most := int32(0)
			for look := range 28 * looksPerDay {
				if look%w.every == 0 {
					l.facts.Drains = w.rollout(l.facts.Now, *l.facts.Was.HoldSeconds)
				}
				l.facts.Now = l.facts.Now.Add(roundEvery)
				l.look(w.p99())
				if look > looksPerDay {
					most = max(most, l.facts.Was.RecommendedSeconds)
				}
			}
			t.Logf("at most %d s; in the end: %s", most, l.facts.Was.Reason)
			if most > tc.most {
				t.Errorf("went up to %d s, want at most %d s", most, tc.most)
			}
		})
	}
}

// rollout of ten pods.
func (w leaky) rollout(now time.Time, hold int32) []v1alpha1.DrainRecord {
	var drains []v1alpha1.DrainRecord
	for range 10 {
		drains = append(drains, w.drain(now, hold))
	}
	return drains
}

// Nothing but the counter: the trend is never Falling, whatever the hold is.
func TestStuckCounterRaisesNothing(t *testing.T) {
	l := newLeader(spec(shutdownGiven(2)))
	l.look(time.Second)
	want := l.facts.Was.RecommendedSeconds
	for range 28 * 24 {
		stuck := timedOut(v1alpha1.TrendSteady, *l.facts.Was.HoldSeconds)
		stuck.EndedAt = metav1.NewTime(l.facts.Now)
		l.facts.Drains = []v1alpha1.DrainRecord{stuck, killed("")}
		l.facts.Drains[1].EndedAt = stuck.EndedAt
		if got := l.looks(time.Hour, time.Second).RecommendedSeconds; got != want {
			t.Fatalf("%d s at %v, want %d s", got, l.facts.Now, want)
		}
	}
}
