package grace

import (
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

func TestNoticeable(t *testing.T) {
	tests := map[string]struct {
		change func(s *v1alpha1.GraceStatus)
		want   bool
	}{
		"nothing":                         {func(*v1alpha1.GraceStatus) {}, false},
		"the wording":                     {func(s *v1alpha1.GraceStatus) { s.Reason = "other words" }, false},
		"the look":                        {func(s *v1alpha1.GraceStatus) { s.ObservedAt = at(-time.Hour) }, false},
		"more requests":                   {func(s *v1alpha1.GraceStatus) { s.Requests = 1 << 40 }, false},
		"recommended":                     {func(s *v1alpha1.GraceStatus) { s.RecommendedSeconds = 25 }, true},
		"hold":                            {func(s *v1alpha1.GraceStatus) { s.HoldSeconds = i32(19) }, true},
		"no hold":                         {func(s *v1alpha1.GraceStatus) { s.HoldSeconds = nil }, true},
		"shutdown":                        {func(s *v1alpha1.GraceStatus) { s.ShutdownSeconds = nil }, true},
		"applied":                         {func(s *v1alpha1.GraceStatus) { s.AppliedSeconds = i32(20) }, true},
		"raised":                          {func(s *v1alpha1.GraceStatus) { s.RaisedAt = at(0) }, true},
		"percentile":                      {func(s *v1alpha1.GraceStatus) { s.Percentile = "99.9" }, true},
		"the first workload":              {func(s *v1alpha1.GraceStatus) { s.MeasuredWorkloads = []string{"Deployment/web"} }, true},
		"latency by a tenth":              {latencyIn(time.Hour, 4510), false},
		"latency by more than a tenth":    {latencyIn(time.Hour, 4511), true},
		"latency lower by more":           {latencyIn(time.Hour, 3689), true},
		"latency no more":                 {latencyIn(time.Hour, 0), true},
		"latency by more, but again soon": {latencyIn(14*time.Minute, 9000), false},
		"latency of few requests": {func(s *v1alpha1.GraceStatus) {
			latencyIn(time.Hour, 9000)(s)
			s.Requests = 450
		}, false},
		"fewer requests, as it wavers": {func(s *v1alpha1.GraceStatus) { s.Requests = 400 }, false},
		"too few requests":             {func(s *v1alpha1.GraceStatus) { s.Requests = 399 }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			old, now := stood(18, i32(2), 20), stood(18, i32(2), 20)
			tc.change(now)
			if got := Noticeable(old, now); got != tc.want {
				t.Errorf("noticeable: %t, want %t", got, tc.want)
			}
		})
	}
}

func latencyIn(d time.Duration, ms int64) func(s *v1alpha1.GraceStatus) {
	return func(s *v1alpha1.GraceStatus) {
		s.ObservedAt, s.LatencyMilliseconds = at(30*time.Second-d), &ms
		if ms == 0 {
			s.LatencyMilliseconds = nil
		}
	}
}

// Workloads that come and go are told every quarter of an hour at most.
func TestNoticeableWorkloads(t *testing.T) {
	for after, want := range map[time.Duration]bool{14 * time.Minute: false, 15 * time.Minute: true} {
		old, now := stood(18, i32(2), 20), stood(18, i32(2), 20)
		old.MeasuredWorkloads, now.MeasuredWorkloads = []string{"Deployment/a"}, []string{"Deployment/a", "Deployment/b"}
		old.ObservedAt, now.ObservedAt = at(after), at(0)
		if got := Noticeable(old, now); got != want {
			t.Errorf("after %v: noticeable: %t, want %t", after, got, want)
		}
	}
}

func TestNoticeableFromFewToEnough(t *testing.T) {
	old, now := stood(18, i32(2), 20), stood(18, i32(2), 20)
	old.Requests, now.Requests = 499, 500
	if !Noticeable(old, now) {
		t.Error("enough requests at last are not noticed")
	}
	now.Requests = 499
	if Noticeable(old, now) {
		t.Error("as few requests as before are noticed")
	}
	if !Noticeable(nil, now) {
		t.Error("the first status is not noticed")
	}
}
