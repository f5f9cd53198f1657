package grace

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(ago time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(noon.Add(-ago))) }

// spec has a source of latency, and else what edit makes of it.
func spec(edit ...func(*v1alpha1.DrainPolicySpec)) *v1alpha1.DrainPolicySpec {
	s := &v1alpha1.DrainPolicySpec{}
	s.GracePeriod.Latency = &v1alpha1.Latency{Prometheus: &v1alpha1.PrometheusLatency{Query: "up"}}
	for _, e := range edit {
		e(s)
	}
	return s
}

func shutdownGiven(n int32) func(*v1alpha1.DrainPolicySpec) {
	return func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.ShutdownSeconds = ptr.To(n) }
}

func bounds(least, most int32) func(*v1alpha1.DrainPolicySpec) {
	return func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.MinSeconds, s.GracePeriod.MaxSeconds = least, most }
}

func notice(policy v1alpha1.LongLivedPolicy, seconds int32) func(*v1alpha1.DrainPolicySpec) {
	return func(s *v1alpha1.DrainPolicySpec) {
		s.LongLived = v1alpha1.LongLived{Policy: policy, NoticeSeconds: seconds}
	}
}

func noSource(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.Latency = nil }

// seen is a latency that enough requests stand for.
func seen(p time.Duration) *latency.Summary {
	return &latency.Summary{Requests: 12430, Latency: p, Since: noon.Add(-time.Hour), At: noon}
}

func requests(n int64, p time.Duration) *latency.Summary {
	s := seen(p)
	s.Requests = n
	return s
}

func uncounted(p time.Duration) *latency.Summary {
	return &latency.Summary{RequestsUnknown: true, Latency: p, At: noon}
}

// drained are n drains of a good end, one per minute.
func drained(n int, propagation, drain, shutdown int32) []v1alpha1.DrainRecord {
	records := make([]v1alpha1.DrainRecord, n)
	for i := range records {
		records[i] = v1alpha1.DrainRecord{
			Outcome: v1alpha1.OutcomeDrained, Cause: v1alpha1.CauseHoldEnded,
			PropagationSeconds: ptr.To(propagation), DrainSeconds: ptr.To(drain), ShutdownSeconds: ptr.To(shutdown),
			DurationSeconds: propagation + drain + shutdown, EndedAt: *at(time.Duration(i+1) * time.Minute),
		}
	}
	return records
}

// timedOut is a drain that reached its bound a minute ago.
func timedOut(trend v1alpha1.Trend, duration int32) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{
		Outcome: v1alpha1.OutcomeTimedOut, Cause: v1alpha1.CauseBoundReached, PropagationSeconds: ptr.To[int32](8),
		DrainSeconds: ptr.To(duration - 8), InFlight: 3, InFlightTrend: trend, DurationSeconds: duration, EndedAt: *at(time.Minute),
	}
}

func killed(trend v1alpha1.Trend) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{
		Outcome: v1alpha1.OutcomeForced, Cause: v1alpha1.CauseGraceSpent, InFlightTrend: trend, EndedAt: *at(time.Minute),
	}
}

// stood is a status whose grace was worked out from measurements.
func stood(hold int32, shutdown *int32, recommended int32) *v1alpha1.GraceStatus {
	return &v1alpha1.GraceStatus{
		Percentile: "99", LatencyMilliseconds: ptr.To[int64](4100), Requests: 12430, ObservedAt: at(30 * time.Second),
		HoldSeconds: ptr.To(hold), ShutdownSeconds: shutdown, RecommendedSeconds: recommended, AppliedSeconds: ptr.To[int32](30),
	}
}

func (f *figures) of(hold, shutdown *int32, recommended int32, reason string) v1alpha1.GraceStatus {
	s := v1alpha1.GraceStatus(*f)
	s.HoldSeconds, s.ShutdownSeconds, s.RecommendedSeconds, s.Reason = hold, shutdown, recommended, reason
	return s
}

// figures are what a status says of the look itself.
type figures v1alpha1.GraceStatus

func lookOf(ms int64) *figures {
	return &figures{Percentile: "99", LatencyMilliseconds: ptr.To(ms), Requests: 12430, ObservedAt: at(0)}
}

func (f *figures) applied() *figures { f.AppliedSeconds = ptr.To[int32](30); return f }

func (f *figures) raised(ago time.Duration) *figures { f.RaisedAt = at(ago); return f }

func (f *figures) requests(n int64) *figures { f.Requests = n; return f }

func (f *figures) without() *figures { f.LatencyMilliseconds = nil; return f }

// last is the look that stood shows.
func last() *figures {
	f := lookOf(4100).applied()
	f.ObservedAt = at(30 * time.Second)
	return f
}

func i32(n int32) *int32 { return &n }

func TestRecommend(t *testing.T) {
	const (
		sum    = "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 20 s"
		blind  = "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 30 s (propagationMaxSeconds) + shutdown 30 s (the pod's own grace) → 70 s"
		given2 = "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 30 s (propagationMaxSeconds) + shutdown 2 s (given) → 40 s"
		step   = "raised by a step to %s: a drain ran out of time while its requests were becoming fewer"
		own    = "propagation 30 s (propagationMaxSeconds) + budget 30 s (the pod's own grace) + shutdown 30 s (the pod's own grace) → 90 s"
		few    = "499 requests over 1 h are fewer than the 500 that a percentile must stand on"
	)
	fewSeen := seen(4100 * time.Millisecond)
	fewSeen.Requests = 499
	tests := map[string]struct {
		facts Facts
		want  v1alpha1.GraceStatus
	}{
		"all measured": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: nil},
			lookOf(4100).of(i32(18), i32(2), 20, sum),
		},
		"raised at once": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: stood(13, i32(2), 15)},
			lookOf(4100).applied().of(i32(18), i32(2), 20, sum+" (was 15 s)"),
		},
		"lowered later": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: stood(28, i32(2), 30)},
			lookOf(4100).applied().of(i32(28), i32(2), 30, sum+"; stays 30 s until 13:00 UTC"),
		},
		"no drain told": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond)},
			lookOf(4100).of(i32(40), nil, 70, blind),
		},
		"too few drains told": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(4, 8, 4, 2)},
			lookOf(4100).of(i32(40), nil, 70, blind),
		},
		"drains before the window do not count": {
			Facts{Spec: spec(func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.WindowSeconds = 60 }), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 400, 2)},
			// One of them ended exactly a window ago: its 400 s count, alone it tells no shutdown.
			func() v1alpha1.GraceStatus {
				return lookOf(4100).of(i32(430), nil, 460, "P99 4.1 s over 1 min (12,430 requests) + 50 % → 6.2 s; a drain needed 400 s → 400 s; + propagation 30 s (propagationMaxSeconds) + shutdown 30 s (the pod's own grace) → 460 s")
			}(),
		},
		"shutdown given": {
			Facts{Spec: spec(shutdownGiven(2)), Latency: seen(4100 * time.Millisecond)},
			lookOf(4100).of(i32(38), nil, 40, given2),
		},
		"shutdown given, and another measured": {
			Facts{Spec: spec(shutdownGiven(2)), Latency: seen(4100 * time.Millisecond), Drains: drained(5, 8, 4, 7)},
			lookOf(4100).of(i32(38), i32(7), 40, given2),
		},
		"an observed propagation is never more than the policy's": {
			Facts{Spec: spec(), Latency: seen(time.Second), Drains: drained(10, 100, 1, 2)},
			lookOf(1000).of(i32(33), i32(2), 35, "P99 1 s over 1 h (12,430 requests) + 50 % → 1.5 s; + propagation 30 s (propagationMaxSeconds) + shutdown 2 s (measured) → 35 s"),
		},
		"a drain that stayed in rotation": {
			Facts{Spec: spec(), Latency: seen(time.Second), Drains: append(drained(10, 8, 1, 2), v1alpha1.DrainRecord{Outcome: v1alpha1.OutcomeTimedOut, EndedAt: *at(0)})},
			lookOf(1000).of(i32(33), i32(2), 35, "P99 1 s over 1 h (12,430 requests) + 50 % → 1.5 s; + propagation 30 s (propagationMaxSeconds) + shutdown 2 s (measured) → 35 s"),
		},
		"requests in flight need more": {
			Facts{Spec: spec(), Latency: func() *latency.Summary {
				s := seen(4100 * time.Millisecond)
				s.Residual = 9300 * time.Millisecond
				return s
			}(), Drains: drained(10, 8, 4, 2)},
			lookOf(4100).of(i32(18), i32(2), 20, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; requests in flight still need 9.3 s at P99 → 9.3 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 20 s"),
		},
		"all of many requests in flight need more": {
			Facts{Spec: spec(), Latency: func() *latency.Summary {
				s := seen(4100 * time.Millisecond)
				s.Residual, s.InFlight = 9300*time.Millisecond, 23.7
				return s
			}(), Drains: drained(10, 8, 4, 2)},
			lookOf(4100).of(i32(18), i32(2), 20, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; the 24 requests in flight still need 9.3 s at P99 → 9.3 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 20 s"),
		},
		"too few requests for less than the own grace": {
			Facts{Spec: spec(), Latency: requests(4999, 4100*time.Millisecond), Drains: drained(10, 8, 4, 2), OwnSeconds: 30},
			lookOf(4100).requests(4999).of(i32(28), i32(2), 30, "P99 4.1 s over 1 h (4,999 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 30 s, the pod's own: 5,000 requests are needed for less"),
		},
		"just enough requests for less than the own grace": {
			Facts{Spec: spec(), Latency: requests(5000, 4100*time.Millisecond), Drains: drained(10, 8, 4, 2), OwnSeconds: 30},
			lookOf(4100).requests(5000).of(i32(18), i32(2), 20, "P99 4.1 s over 1 h (5,000 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 20 s"),
		},
		"500 requests raise": {
			Facts{Spec: spec(), Latency: requests(500, 20*time.Second), Drains: drained(10, 8, 4, 2), OwnSeconds: 30},
			lookOf(20000).requests(500).of(i32(38), i32(2), 40, "P99 20 s over 1 h (500 requests) + 50 % → 30 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 40 s"),
		},
		"an unknown weight never goes below the own grace, which is above maxSeconds": {
			Facts{Spec: spec(bounds(10, 60), shutdownGiven(2)), Latency: uncounted(50 * time.Second), OwnSeconds: 90},
			v1alpha1.GraceStatus{
				Percentile: "99", LatencyMilliseconds: ptr.To[int64](50000), ObservedAt: at(0), RecommendedSeconds: 90,
				Reason: "P99 50 s of an unknown number of requests asks for no more: propagation 30 s (propagationMaxSeconds) + budget 90 s (the pod's own grace) + shutdown 2 s (given) → 122 s, at most 90 s (maxSeconds, or the pod's own)",
			},
		},
		"a healthy drain needed more": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 15, 2)},
			lookOf(4100).of(i32(23), i32(2), 25, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; a drain needed 15 s → 15 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 25 s"),
		},
		"a drain that was stuck to its bound is not healthy": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: append(drained(10, 8, 4, 2), timedOut(v1alpha1.TrendSteady, 400)), Was: stood(18, i32(2), 20)},
			lookOf(4100).applied().of(i32(18), i32(2), 20, sum),
		},
		"at most maxSeconds": {
			Facts{Spec: spec(bounds(10, 18)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2)},
			lookOf(4100).of(i32(16), i32(2), 18, sum+", at most 18 s (maxSeconds)"),
		},
		"at least minSeconds": {
			Facts{Spec: spec(bounds(33, 600)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2)},
			lookOf(4100).of(i32(31), i32(2), 33, sum+", at least 33 s (minSeconds)"),
		},
		"a lower maxSeconds acts at once": {
			Facts{Spec: spec(bounds(10, 25)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: stood(28, i32(2), 30)},
			lookOf(4100).applied().of(i32(23), i32(2), 25, sum+"; stays 25 s until 13:00 UTC (was 30 s)"),
		},
		"a lower maxSeconds acts at once without latency": {
			Facts{Spec: spec(bounds(10, 25)), Was: stood(28, i32(2), 30)},
			last().of(i32(23), i32(2), 25, "no latency could be seen since 2026-03-01 11:59 UTC; with shutdown 2 s (measured) → 25 s (was 30 s)"),
		},
		"a learned shutdown leaves the hold half of maxSeconds": {
			Facts{Spec: spec(bounds(10, 40)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 38)},
			lookOf(4100).of(i32(20), i32(38), 40, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 38 s (measured) → 55 s, at most 40 s (maxSeconds)"),
		},
		"too coarse": {
			Facts{Spec: spec(), Latency: &latency.Summary{Requests: 12430, Latency: 10 * time.Second, TooCoarse: true, At: noon}, Drains: drained(10, 8, 4, 2), Was: stood(18, i32(2), 20)},
			lookOf(0).without().applied().of(i32(598), i32(2), 600, "P99 more than 10 s over 1 h (12,430 requests), the last bound of the histogram, which is too coarse to say more → 600 s (maxSeconds) (was 20 s)"),
		},
		"too coarse, of too few requests": {
			Facts{Spec: spec(), Latency: &latency.Summary{Requests: 499, Latency: 10 * time.Second, TooCoarse: true, At: noon}, Was: stood(18, i32(2), 20)},
			lookOf(0).without().applied().requests(499).of(i32(18), i32(2), 20, few+": 20 s stays"),
		},
		"few requests, first time": {
			Facts{Spec: spec(), Latency: fewSeen},
			lookOf(4100).requests(499).of(nil, nil, 90, few+": "+own),
		},
		"few requests": {
			Facts{Spec: spec(), Latency: fewSeen, Was: stood(18, i32(2), 20)},
			lookOf(4100).requests(499).applied().of(i32(18), i32(2), 20, few+": 20 s stays"),
		},
		"a hostile summary": {
			Facts{Spec: spec(), Latency: &latency.Summary{Requests: 1 << 62, Latency: 1<<63 - 1, Residual: -1, At: noon}},
			lookOf(1_000_000_000).requests(1<<62).of(i32(600), nil, 600, "P99 1000000 s over 1 h (4,611,686,018,427,387,904 requests) + 50 % → 1500000 s; + propagation 30 s (propagationMaxSeconds) + shutdown 30 s (the pod's own grace) → 3630 s, at most 600 s (maxSeconds)"),
		},
		"nothing seen yet": {
			Facts{Spec: spec()},
			v1alpha1.GraceStatus{RecommendedSeconds: 90, Reason: "no latency was seen yet: " + own},
		},
		"a notice": {
			Facts{Spec: spec(notice(v1alpha1.LongLivedCloseAfter, 20)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2)},
			lookOf(4100).of(i32(38), i32(2), 40, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + notice 20 s + shutdown 2 s (measured) → 40 s"),
		},
		"a notice that drains used up is not counted twice": {
			Facts{Spec: spec(notice(v1alpha1.LongLivedCloseAfter, 20)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 22, 2)},
			lookOf(4100).of(i32(38), i32(2), 40, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + notice 20 s + shutdown 2 s (measured) → 40 s"),
		},
		"Wait has no notice: the drains tell how long": {
			Facts{Spec: spec(notice(v1alpha1.LongLivedWait, 20)), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 22, 2)},
			lookOf(4100).of(i32(33), i32(2), 35, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; a drain needed 22 s → 22 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 35 s"),
		},
		"a notice, and nothing seen yet": {
			Facts{Spec: spec(notice(v1alpha1.LongLivedCloseAfter, 0))},
			v1alpha1.GraceStatus{RecommendedSeconds: 100, Reason: "no latency was seen yet: propagation 30 s (propagationMaxSeconds) + notice 10 s + budget 30 s (the pod's own grace) + shutdown 30 s (the pod's own grace) → 100 s"},
		},
		"nothing seen yet, and a shutdown learned": {
			Facts{Spec: spec(), Drains: drained(5, 8, 4, 2)},
			v1alpha1.GraceStatus{ShutdownSeconds: i32(2), RecommendedSeconds: 62, Reason: "no latency was seen yet: propagation 30 s (propagationMaxSeconds) + budget 30 s (the pod's own grace) + shutdown 2 s (measured) → 62 s"},
		},
		"without measurements, never below the own": {
			Facts{Spec: spec(bounds(10, 20)), OwnSeconds: 45},
			v1alpha1.GraceStatus{RecommendedSeconds: 45, Reason: "no latency was seen yet: propagation 30 s (propagationMaxSeconds) + budget 45 s (the pod's own grace) + shutdown 45 s (the pod's own grace) → 120 s, at most 45 s (maxSeconds, or the pod's own)"},
		},
		"a shutdown that is not known is never below the own grace": {
			Facts{Spec: spec(bounds(10, 20)), OwnSeconds: 45, Latency: seen(4100 * time.Millisecond)},
			lookOf(4100).of(i32(20), nil, 45, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 30 s (propagationMaxSeconds) + shutdown 45 s (the pod's own grace) → 85 s, at most 45 s (the pod's own grace)"),
		},
		"no latency: what was stands": {
			Facts{Spec: spec(), Was: stood(18, i32(2), 20)},
			last().of(i32(18), i32(2), 20, "no latency could be seen since 2026-03-01 11:59 UTC: 20 s stays"),
		},
		"no latency: a longer shutdown raises": {
			Facts{Spec: spec(), Drains: []v1alpha1.DrainRecord{{Outcome: v1alpha1.OutcomeDrained, ShutdownSeconds: i32(7), EndedAt: *at(0)}}, Was: stood(18, i32(2), 20)},
			last().of(i32(18), i32(7), 25, "no latency could be seen since 2026-03-01 11:59 UTC; with shutdown 7 s (measured) → 25 s (was 20 s)"),
		},
		"the source was taken away": {
			Facts{Spec: spec(noSource), Was: func() *v1alpha1.GraceStatus { s := stood(18, i32(2), 20); s.RaisedAt = at(0); return s }()},
			v1alpha1.GraceStatus{ShutdownSeconds: i32(2), RecommendedSeconds: 62, AppliedSeconds: i32(30), Reason: "no source of latency is set: propagation 30 s (propagationMaxSeconds) + budget 30 s (the pod's own grace) + shutdown 2 s (measured) → 62 s (was 20 s)"},
		},
		"a process was killed": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: append(drained(10, 8, 4, 2), killed("")), Was: stood(18, i32(2), 20)},
			lookOf(4100).applied().of(i32(18), nil, 48, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 30 s (the pod's own grace, since a process was killed) → 45 s; stays 48 s until 13:00 UTC (was 20 s)"),
		},
		"a process was killed that had more than its own grace": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: append(drained(10, 8, 4, 40), killed("")), Was: stood(20, i32(40), 60)},
			lookOf(4100).applied().of(i32(20), i32(40), 60, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 40 s (measured) → 55 s; stays 60 s until 13:00 UTC"),
		},
		"a shutdown learned at last keeps what pods had": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: stood(40, nil, 70)},
			lookOf(4100).applied().of(i32(68), i32(2), 70, sum+"; stays 70 s until 13:00 UTC"),
		},
		"a shorter shutdown is believed later": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: drained(10, 8, 4, 2), Was: stood(20, i32(10), 30)},
			lookOf(4100).applied().of(i32(20), i32(10), 30, "P99 4.1 s over 1 h (12,430 requests) + 50 % → 6.2 s; + propagation 8 s (observed) + shutdown 10 s (measured) → 25 s; stays 30 s until 13:00 UTC"),
		},
		"a value without a count raises": {
			Facts{Spec: spec(), Latency: uncounted(20 * time.Second), Drains: drained(10, 8, 4, 2), Was: stood(18, i32(2), 20)},
			lookOf(20000).applied().requests(0).of(i32(38), i32(2), 40, "P99 20 s over 1 h (requests not counted) + 50 % → 30 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 40 s (was 20 s)"),
		},
		"a value without a count never lowers": {
			Facts{Spec: spec(), Latency: uncounted(time.Second), Drains: drained(10, 8, 4, 2), Was: stood(18, i32(2), 20)},
			lookOf(1000).applied().requests(0).of(i32(18), i32(2), 20, "P99 1 s over 1 h (requests not counted) + 50 % → 1.5 s; a drain needed 4 s → 4 s; + propagation 8 s (observed) + shutdown 2 s (measured) → 15 s; stays 20 s: a value without a number of requests only raises it"),
		},
		"a value without a count, first time, asks for less": {
			Facts{Spec: spec(), Latency: uncounted(time.Second)},
			lookOf(1000).requests(0).of(nil, nil, 90, "P99 1 s of an unknown number of requests asks for no more: "+own),
		},
		"a value without a count, first time, asks for more": {
			Facts{Spec: spec(), Latency: uncounted(40 * time.Second)},
			lookOf(40000).requests(0).of(i32(90), nil, 120, "P99 40 s over 1 h (requests not counted) + 50 % → 60 s; + propagation 30 s (propagationMaxSeconds) + shutdown 30 s (the pod's own grace) → 120 s"),
		},
		"a late drain raises by a step": {
			Facts{Spec: spec(), Latency: seen(4100 * time.Millisecond), Drains: append(drained(10, 8, 4, 2), timedOut(v1alpha1.TrendFalling, 18)), Was: stood(18, i32(2), 20)},
			lookOf(4100).applied().raised(0).of(i32(23), i32(2), 25, sum+"; "+fmt.Sprintf(step, "25 s")+" (was 20 s)"),
		},
		"a late drain raises by a step without latency": {
			Facts{Spec: spec(), Drains: []v1alpha1.DrainRecord{timedOut(v1alpha1.TrendFalling, 18)}, Was: stood(18, i32(2), 20)},
			last().raised(0).of(i32(23), i32(2), 25, "no latency could be seen since 2026-03-01 11:59 UTC; "+fmt.Sprintf(step, "25 s")+" (was 20 s)"),
		},
		"a late drain that was killed afterwards": {
			Facts{Spec: spec(shutdownGiven(2)), Drains: []v1alpha1.DrainRecord{killed(v1alpha1.TrendFalling)}, Was: stood(18, nil, 20)},
			last().raised(0).of(i32(23), nil, 25, "no latency could be seen since 2026-03-01 11:59 UTC; "+fmt.Sprintf(step, "25 s")+" (was 20 s)"),
		},
		"a late drain with a steady counter": {
			Facts{Spec: spec(), Drains: []v1alpha1.DrainRecord{timedOut(v1alpha1.TrendSteady, 18), timedOut("", 18)}, Was: stood(18, i32(2), 20)},
			last().of(i32(18), i32(2), 20, "no latency could be seen since 2026-03-01 11:59 UTC: 20 s stays"),
		},
		"a late drain of an older, shorter grace": {
			Facts{Spec: spec(), Drains: []v1alpha1.DrainRecord{timedOut(v1alpha1.TrendFalling, 14)}, Was: stood(18, i32(2), 20)},
			last().of(i32(18), i32(2), 20, "no latency could be seen since 2026-03-01 11:59 UTC: 20 s stays"),
		},
		"a second late drain in the same window": {
			Facts{Spec: spec(), Drains: []v1alpha1.DrainRecord{timedOut(v1alpha1.TrendFalling, 18)}, Was: func() *v1alpha1.GraceStatus { s := stood(18, i32(2), 20); s.RaisedAt = at(30 * time.Minute); return s }()},
			last().raised(30*time.Minute).of(i32(18), i32(2), 20, "no latency could be seen since 2026-03-01 11:59 UTC: 20 s stays"),
		},
		"a late drain cannot raise above maxSeconds": {
			Facts{Spec: spec(bounds(10, 20)), Drains: []v1alpha1.DrainRecord{timedOut(v1alpha1.TrendFalling, 18)}, Was: stood(18, i32(2), 20)},
			last().of(i32(18), i32(2), 20, "no latency could be seen since 2026-03-01 11:59 UTC: 20 s stays"),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.facts.Now = noon
			if tc.facts.OwnSeconds == 0 {
				tc.facts.OwnSeconds = 30
			}
			got, _ := Recommend(tc.facts, History{})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}
