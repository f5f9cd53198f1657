package grace

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/latency"
)

func pages(s *v1alpha1.DrainPolicySpec) {
	s.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{Histogram: "h"}}
}

// TestMeasuredWorkloads: the list is of the requests on which the hold stands.
func TestMeasuredWorkloads(t *testing.T) {
	const window = time.Hour
	type look struct {
		after     time.Duration
		requests  int64 // 0 = nothing could be seen
		workloads []string
		restart   bool // of the operator, before the look
		want      []string
	}
	web, both := []string{"Deployment/web"}, []string{"Deployment/web", "StatefulSet/db"}
	db := []string{"StatefulSet/db"}
	for name, tc := range map[string]struct {
		spec  *v1alpha1.DrainPolicySpec
		looks []look
	}{
		"of a query nothing is known": {spec(), []look{{requests: 5000}}},
		"as the window has them, once it is full": {spec(pages), []look{
			{requests: 5000, workloads: web, want: web},
			{after: window, requests: 5000, workloads: both, want: both},
			{after: time.Minute, requests: 5000, workloads: db, want: db},
		}},
		"while it fills, those that stood stay": {spec(pages), []look{
			{requests: 5000, workloads: both, want: both},
			{after: 2 * window, requests: 5000, workloads: both, want: both, restart: true},
			{after: time.Minute, requests: 5000, workloads: web, want: both},
			{after: window, requests: 5000, workloads: web, want: web},
		}},
		"a new leader": {spec(pages), []look{
			{requests: 5000, workloads: both, want: both},
			{after: 2 * window, restart: true, want: both},
			{after: time.Minute, requests: 10, workloads: web, want: both},
			{after: time.Minute, requests: 600, workloads: web, want: both},
			{after: window, requests: 5000, workloads: web, want: web},
		}},
		"too few requests add none": {spec(pages), []look{
			{requests: 5000, workloads: web, want: web},
			{after: 2 * window, requests: 499, workloads: both, want: web},
			{after: time.Minute, want: web},
		}},
		"nothing was measured yet": {spec(pages), []look{{requests: 499, workloads: web}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLeader(tc.spec)
			for i, look := range tc.looks {
				if look.restart {
					l.successor()
				}
				// Someone looks all the time, and sees what was seen last.
				for end := l.facts.Now.Add(look.after); l.facts.Now.Before(end) && !look.restart; l.facts.Now = l.facts.Now.Add(roundEvery) {
					l.take()
				}
				l.facts.Latency = nil
				if look.requests > 0 {
					l.facts.Latency = &latency.Summary{Requests: look.requests, Latency: time.Second, Workloads: look.workloads, At: l.facts.Now}
				}
				l.take()
				if diff := cmp.Diff(look.want, l.facts.Was.MeasuredWorkloads); diff != "" {
					t.Errorf("look %d (-want +got):\n%s", i, diff)
				}
			}
		})
	}
}

func TestMeasuredWorkloadsAreBounded(t *testing.T) {
	l := newLeader(spec(pages))
	names := func(prefix string) (all []string) {
		for i := range v1alpha1.MaxMeasuredWorkloads {
			all = append(all, fmt.Sprintf("Deployment/%s-%02d", prefix, i))
		}
		return all
	}
	for _, prefix := range []string{"b", "a", "c"} { // those seen now come first
		l.facts.Latency = &latency.Summary{Requests: 5000, Latency: time.Second, Workloads: names(prefix), At: l.facts.Now}
		l.take()
		if diff := cmp.Diff(names(prefix), l.facts.Was.MeasuredWorkloads); diff != "" {
			t.Errorf("%s (-want +got):\n%s", prefix, diff)
		}
	}
}
