package grace

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

const roundEvery = 30 * time.Second

// leader looks round by round, as the controller does.
type leader struct {
	facts   Facts
	history History
}

func newLeader(spec *v1alpha1.DrainPolicySpec) *leader {
	return &leader{facts: Facts{Spec: spec, OwnSeconds: 30, Now: noon}}
}

// looks for a while at a latency, none when it is 0, and returns the last status.
func (l *leader) looks(d, p time.Duration) v1alpha1.GraceStatus {
	for end := l.facts.Now.Add(d); l.facts.Now.Before(end); l.facts.Now = l.facts.Now.Add(roundEvery) {
		l.look(p)
	}
	return *l.facts.Was
}

func (l *leader) look(p time.Duration) {
	l.facts.Latency = nil
	if p > 0 {
		l.facts.Latency = &latency.Summary{Requests: 12430, Latency: p, At: l.facts.Now}
	}
	l.take()
}

// take a round with the facts as they are.
func (l *leader) take() {
	var status v1alpha1.GraceStatus
	status, l.history = Recommend(l.facts, l.history)
	l.facts.Was = &status
}

// successor knows nothing but the status.
func (l *leader) successor() { l.history = History{} }

func stabilize(n int32) func(*v1alpha1.DrainPolicySpec) {
	return func(s *v1alpha1.DrainPolicySpec) { s.GracePeriod.StabilizationWindowSeconds = ptr.To(n) }
}

// A policy of propagation 30 s, shutdown 2 s and margin 50 %: 20 s of latency
// ask for 65 s, 10 s for 50 s, 4 s for 40 s.
func TestStabilization(t *testing.T) {
	const hour = time.Hour
	tests := map[string]struct {
		spec *v1alpha1.DrainPolicySpec
		run  func(l *leader) []int32
		want []int32
	}{
		"lowered when the window has passed": {
			run: func(l *leader) []int32 {
				return []int32{
					l.looks(hour, 20*time.Second).RecommendedSeconds,
					l.looks(hour-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 65, 40},
		},
		"lowered to the highest of the window": {
			run: func(l *leader) []int32 {
				return []int32{
					l.looks(hour, 20*time.Second).RecommendedSeconds,
					l.looks(hour/2, 10*time.Second).RecommendedSeconds,
					l.looks(hour/2, 4*time.Second).RecommendedSeconds,
					l.looks(hour/2-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 65, 50, 50, 40},
		},
		"raised in between": {
			run: func(l *leader) []int32 {
				l.looks(hour, 10*time.Second)
				l.looks(hour/2, 4*time.Second)
				return []int32{
					l.looks(roundEvery, 20*time.Second).RecommendedSeconds,
					l.looks(hour-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 65, 40},
		},
		"what was seen before data went missing does not count": {
			run: func(l *leader) []int32 {
				l.looks(hour, 20*time.Second)
				l.looks(50*time.Minute, 4*time.Second)
				return []int32{
					l.looks(5*hour, 0).RecommendedSeconds,
					l.looks(hour-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 65, 40},
		},
		"a successor begins anew": {
			run: func(l *leader) []int32 {
				l.looks(hour, 20*time.Second)
				l.looks(50*time.Minute, 4*time.Second)
				l.successor()
				return []int32{
					l.looks(hour, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 40},
		},
		"so does one who did not look for long": {
			run: func(l *leader) []int32 {
				l.looks(hour, 20*time.Second)
				l.looks(50*time.Minute, 4*time.Second)
				l.facts.Now = l.facts.Now.Add(3 * hour)
				return []int32{
					l.looks(hour, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 40},
		},
		"and one whose clock was put back": {
			run: func(l *leader) []int32 {
				l.looks(hour, 20*time.Second)
				l.facts.Now = l.facts.Now.Add(-48 * hour)
				return []int32{
					l.looks(hour, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 40},
		},
		"the first measurements do not lower at once": {
			run: func(l *leader) []int32 {
				return []int32{
					l.looks(roundEvery, 0).RecommendedSeconds, // 30 + 30 + 2
					l.looks(hour-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{62, 62, 40},
		},
		"no stabilization": {
			spec: spec(shutdownGiven(2), stabilize(0)),
			run: func(l *leader) []int32 {
				return []int32{
					l.looks(roundEvery, 20*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 0).RecommendedSeconds,
					l.looks(roundEvery, time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 40, 40, 35},
		},
		"a lower maxSeconds acts at once, and so does a higher one": {
			run: func(l *leader) []int32 {
				first := l.looks(hour, 20*time.Second).RecommendedSeconds
				l.facts.Spec = spec(shutdownGiven(2), bounds(10, 45))
				second := l.looks(roundEvery, 20*time.Second).RecommendedSeconds
				l.facts.Spec = spec(shutdownGiven(2))
				return []int32{first, second, l.looks(roundEvery, 20*time.Second).RecommendedSeconds}
			},
			want: []int32{65, 45, 65},
		},
		"a smaller margin acts after the window": {
			run: func(l *leader) []int32 {
				first := l.looks(hour, 20*time.Second).RecommendedSeconds
				l.facts.Spec.GracePeriod.MarginPercent = ptr.To[int32](0)
				return []int32{
					first, l.looks(hour-roundEvery, 20*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 20*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{65, 65, 55},
		},
		"a late drain holds off lowering for a window": {
			spec: spec(shutdownGiven(2), stabilize(600)),
			run: func(l *leader) []int32 {
				first := l.looks(hour, 4*time.Second).RecommendedSeconds
				late := timedOut(v1alpha1.TrendFalling, 40)
				late.EndedAt = metav1.NewTime(l.facts.Now)
				l.facts.Drains = []v1alpha1.DrainRecord{late}
				return []int32{
					first,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(hour-roundEvery, 4*time.Second).RecommendedSeconds,
					l.looks(roundEvery, 4*time.Second).RecommendedSeconds,
				}
			},
			want: []int32{40, 45, 45, 40},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.spec == nil {
				tc.spec = spec(shutdownGiven(2))
			}
			if diff := cmp.Diff(tc.want, tc.run(newLeader(tc.spec))); diff != "" {
				t.Errorf("recommended (-want +got):\n%s", diff)
			}
		})
	}
}

// A shorter shutdown is believed when enough drains have told it for the whole
// stabilization window, and a longer one at once.
func TestShutdownIsStable(t *testing.T) {
	l := newLeader(spec(stabilize(600)))
	tell := func(n int, shutdown int32) {
		l.facts.Drains = drained(n, 8, 4, shutdown)
		for i := range l.facts.Drains {
			l.facts.Drains[i].EndedAt = metav1.NewTime(l.facts.Now)
		}
	}
	shutdowns := func(d time.Duration) int32 { return ptr.Deref(l.looks(d, time.Second).ShutdownSeconds, -1) }
	var got []int32
	tell(4, 9)
	got = append(got, shutdowns(roundEvery)) // too few
	tell(5, 9)
	got = append(got, shutdowns(2*time.Hour)) // learned, and stands when they are long gone
	tell(5, 3)
	got = append(got, shutdowns(600*time.Second-roundEvery), shutdowns(roundEvery))
	tell(1, 12)
	got = append(got, shutdowns(roundEvery)) // one that took longer is enough
	l.successor()
	tell(5, 3)
	got = append(got, shutdowns(600*time.Second), shutdowns(roundEvery))
	if diff := cmp.Diff([]int32{-1, 9, 9, 3, 12, 12, 3}, got); diff != "" {
		t.Errorf("shutdown (-want +got):\n%s", diff)
	}
}

// The history that Recommend was given stays as it was, whatever becomes of it.
func TestHistoryIsAValue(t *testing.T) {
	l := newLeader(spec())
	l.looks(time.Hour, 20*time.Second)
	l.looks(10*time.Minute, 10*time.Second)
	before, facts := l.history, l.facts
	low, _ := Recommend(facts, before)
	facts.Latency = seen(100 * time.Second)
	Recommend(facts, before)
	facts.Latency = l.facts.Latency
	again, _ := Recommend(facts, before)
	if diff := cmp.Diff(low, again); diff != "" {
		t.Errorf("the same facts and history gave another status:\n%s", diff)
	}
}

// Latency that falls all day, for a window of a day, is the worst for memory.
func TestHistoryIsBounded(t *testing.T) {
	s := spec(stabilize(86400), bounds(1, 3600))
	l := newLeader(s)
	longest := 0
	for p := 86400 * time.Second; p > time.Second; p -= 10 * time.Second {
		l.look(p / 30)
		l.facts.Now = l.facts.Now.Add(10 * time.Second)
		longest = max(longest, len(l.history.terms))
	}
	if longest > mostSeconds/stepSeconds {
		t.Errorf("%d entries, want at most %d", longest, mostSeconds/stepSeconds)
	}
	if longest < 300 {
		t.Errorf("%d entries: the test does not fill the history", longest)
	}
}
