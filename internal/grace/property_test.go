package grace

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
	"github.com/drain-operator/drain-operator/internal/plan"
)

// seedOf is the seed of a random test: always the same, so that the gate is a
// matter of the source alone; that of the variable SEED; or with SEED=random
// another one each time, which it prints.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(1)
	switch given := os.Getenv("SEED"); given {
	case "":
	case "random":
		seed = rand.Uint64()
	default:
		n, err := strconv.ParseUint(given, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	t.Logf("seed %d", seed)
	return seed
}

type chance struct{ *rand.Rand }

func random(seed, run uint64) chance { return chance{rand.New(rand.NewPCG(seed, run))} }

func (c chance) oneIn(n int) bool { return c.IntN(n) == 0 }

func (c chance) seconds(n int) *int32 { return ptr.To(c.Int32N(int32(n))) }

func (c chance) spec() *v1alpha1.DrainPolicySpec {
	s := spec(bounds(1+c.Int32N(60), 61+c.Int32N(3500)))
	s.PreStop.PropagationMaxSeconds = 1 + c.Int32N(60)
	s.GracePeriod.MarginPercent = c.seconds(401)
	s.GracePeriod.WindowSeconds = 60 + c.Int32N(3600)
	s.GracePeriod.StabilizationWindowSeconds = c.seconds(3600)
	if c.oneIn(2) {
		s.GracePeriod.ShutdownSeconds = c.seconds(60)
	}
	if c.oneIn(2) {
		s.LongLived = v1alpha1.LongLived{Policy: v1alpha1.LongLivedCloseAfter, NoticeSeconds: 1 + c.Int32N(600)}
	}
	return s
}

// latency over many orders of magnitude, and now and then none that is of use.
func (c chance) latency(now time.Time) *latency.Summary {
	s := &latency.Summary{Requests: MinRequests + c.Int64N(10000), At: now}
	s.Latency = time.Duration(math.Pow(10, 5+6*c.Float64()))
	s.Residual = time.Duration(float64(s.Latency) * 2 * c.Float64())
	switch c.IntN(40) {
	case 0:
		return nil
	case 1:
		s.Requests = c.Int64N(MinRequests)
	case 2:
		s.Requests, s.RequestsUnknown = 0, true
	case 3:
		s.TooCoarse = c.oneIn(10)
	}
	return s
}

func (c chance) drain(now time.Time) v1alpha1.DrainRecord {
	d := v1alpha1.DrainRecord{
		Outcome: v1alpha1.OutcomeDrained, Cause: v1alpha1.CauseHoldEnded, EndedAt: metav1.NewTime(now),
		PropagationSeconds: c.seconds(40), DrainSeconds: c.seconds(60), DurationSeconds: c.Int32N(200),
	}
	if c.oneIn(2) {
		d.ShutdownSeconds = c.seconds(40)
	}
	switch c.IntN(10) {
	case 0:
		d.Outcome, d.Cause, d.InFlightTrend = v1alpha1.OutcomeTimedOut, v1alpha1.CauseBoundReached, v1alpha1.TrendFalling
	case 1:
		d.Outcome, d.Cause = v1alpha1.OutcomeForced, v1alpha1.CauseGraceSpent
	case 2:
		d.PropagationSeconds, d.DrainSeconds = nil, nil
	}
	return d
}

// step goes on by one round in which anything may have happened.
func (c chance) step(l *leader) {
	l.facts.Now = l.facts.Now.Add(roundEvery)
	l.facts.Latency = c.latency(l.facts.Now)
	if c.oneIn(5) {
		l.facts.Drains = append([]v1alpha1.DrainRecord{c.drain(l.facts.Now)}, l.facts.Drains...)
		l.facts.Drains = l.facts.Drains[:min(len(l.facts.Drains), 32)]
	}
	if c.oneIn(100) {
		l.successor()
	}
}

// fromPlan is the grace that a pod gets from a status: one with the longest
// own grace and no hook of its own.
func fromPlan(f Facts, s v1alpha1.GraceStatus) int64 {
	policy := &v1alpha1.DrainPolicy{Spec: *f.Spec, Status: v1alpha1.DrainPolicyStatus{GracePeriod: &s}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &f.OwnSeconds, Containers: []corev1.Container{{Name: "app"}}}}
	return plan.Build(policy, pod, plan.Options{}).GraceSeconds
}

// missing says that a look has nothing that could lower.
func missing(f Facts) bool {
	return f.Latency == nil || f.Latency.RequestsUnknown || f.Latency.Requests < MinRequests
}

func TestWalks(t *testing.T) {
	seed := seedOf(t)
	for run := range uint64(2000) {
		c := random(seed, run)
		l := newLeader(c.spec())
		l.facts.OwnSeconds = c.Int64N(120)
		for range 100 {
			c.step(l)
			was, history := l.facts.Was, l.history
			facts := l.facts
			l.take()
			checkLook(t, facts, history, was, *l.facts.Was)
			if t.Failed() {
				t.Fatalf("run %d: %+v of %+v with latency %+v", run, *l.facts.Was, was, facts.Latency)
			}
		}
	}
}

func checkLook(t *testing.T, f Facts, h History, was *v1alpha1.GraceStatus, got v1alpha1.GraceStatus) {
	t.Helper()
	g := f.Spec.GracePeriod
	most := int64(g.MaxSeconds)
	if g.ShutdownSeconds == nil && got.ShutdownSeconds == nil {
		most = max(most, f.OwnSeconds)
	}
	switch {
	case got.HoldSeconds == nil && int64(got.RecommendedSeconds) < f.OwnSeconds:
		t.Errorf("not measured, and below the own grace of %d s", f.OwnSeconds)
	case got.HoldSeconds == nil && was != nil && was.HoldSeconds != nil:
		t.Error("what was measured is forgotten")
	case got.HoldSeconds != nil && (got.RecommendedSeconds < g.MinSeconds || int64(got.RecommendedSeconds) > most):
		t.Errorf("not within %d s to %d s", g.MinSeconds, most)
	case got.HoldSeconds != nil && *got.HoldSeconds < 0:
		t.Error("a hold of less than nothing")
	case fromPlan(f, got) != int64(got.RecommendedSeconds):
		t.Errorf("the plan gives %d s", fromPlan(f, got))
	case was != nil && was.HoldSeconds != nil && missing(f) &&
		got.RecommendedSeconds < min(was.RecommendedSeconds, g.MaxSeconds): // above max is the own grace, until the shutdown is known
		t.Error("lowered by missing data")
	case len(got.Reason) == 0 || len(got.Reason) > maxReasonBytes:
		t.Errorf("a reason of %d bytes", len(got.Reason))
	}
	if f.Latency == nil {
		return
	}
	slower := *f.Latency
	slower.Latency += slower.Latency / 3
	slower.Residual += time.Second
	f.Latency = &slower
	if more, _ := Recommend(f, h); more.RecommendedSeconds < got.RecommendedSeconds {
		t.Errorf("%d s for a higher latency", more.RecommendedSeconds)
	}
}

// model is the rule of stabilization written down plainly: every
// recommendation of the window is kept, and the highest is taken.
type model struct {
	window time.Duration
	times  []time.Time
	values []int32
}

func (m *model) restart(now time.Time, value int32) {
	m.times, m.values = []time.Time{now}, []int32{value}
}

func (m *model) take(now time.Time, value int32) int32 {
	m.times, m.values = append(m.times, now), append(m.values, value)
	highest := value
	for i, at := range m.times {
		if now.Sub(at) < m.window {
			highest = max(highest, m.values[i])
		}
	}
	return highest
}

// Whatever happens, the recommendation is the highest of what would have been
// recommended alone, at every look of the window; looks that cannot lower, and
// changes of leader, begin it anew with what stands.
func TestWalksFollowTheModel(t *testing.T) {
	seed := seedOf(t)
	for run := range uint64(500) {
		c := random(seed, run)
		s := c.spec()
		s.GracePeriod.ShutdownSeconds = c.seconds(60)
		l := newLeader(s)
		m := model{window: seconds(int64(*s.GracePeriod.StabilizationWindowSeconds))}
		for look := range 150 {
			c.step(l)
			l.facts.Drains = nil // no steps by late drains here
			if l.history.terms == nil && l.facts.Was != nil {
				m.restart(l.facts.Now, l.facts.Was.RecommendedSeconds)
			}
			alone := l.facts
			alone.Was = nil
			fresh, _ := Recommend(alone, History{})
			was := l.facts.Was
			l.take()
			got := l.facts.Was.RecommendedSeconds
			if missing(l.facts) {
				m.restart(l.facts.Now, got)
				continue
			}
			if want := m.take(l.facts.Now, fresh.RecommendedSeconds); got != want {
				t.Fatalf("run %d, look %d: recommended %d s, want %d s; was %+v", run, look, got, want, was)
			}
		}
	}
}

// Who is succeeded at any time never has a shorter grace than who is not.
func TestSuccessorsLowerNothingEarly(t *testing.T) {
	seed := seedOf(t)
	for run := range uint64(500) {
		c := random(seed, run)
		s := c.spec()
		s.GracePeriod.ShutdownSeconds = ptr.To(c.Int32N(60))
		steady, changing := newLeader(s), newLeader(s)
		for look := range 200 {
			steady.facts.Now = steady.facts.Now.Add(roundEvery)
			steady.facts.Latency = c.latency(steady.facts.Now)
			changing.facts.Now, changing.facts.Latency = steady.facts.Now, steady.facts.Latency
			if c.oneIn(30) {
				changing.successor()
			}
			steady.take()
			changing.take()
			if a, b := steady.facts.Was.RecommendedSeconds, changing.facts.Was.RecommendedSeconds; b < a {
				t.Fatalf("run %d, look %d: %d s after a change of leader, %d s without", run, look, b, a)
			}
		}
	}
}
