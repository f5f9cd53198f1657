package plan_test

import (
	"testing"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

func TestWorkloadOf(t *testing.T) {
	pod := func() *utiltesting.PodWrapper { return utiltesting.MakePod("web-7d4b9-x2x4z") }
	for name, tc := range map[string]struct {
		pod  *utiltesting.PodWrapper
		want string
	}{
		"a Deployment":                   {pod().Owner("apps/v1", "ReplicaSet", "web-7d4b9").Label("pod-template-hash", "7d4b9"), "Deployment/web"},
		"a Rollout":                      {pod().Owner("apps/v1", "ReplicaSet", "web-7d4b9").Label("rollouts-pod-template-hash", "7d4b9"), "Rollout/web"},
		"a ReplicaSet of its own":        {pod().Owner("apps/v1", "ReplicaSet", "web"), "ReplicaSet/web"},
		"a ReplicaSet of another hash":   {pod().Owner("apps/v1", "ReplicaSet", "web-1").Label("pod-template-hash", "7d4b9"), "ReplicaSet/web-1"},
		"a StatefulSet":                  {pod().Owner("apps/v1", "StatefulSet", "web"), "StatefulSet/web"},
		"a StatefulSet that ends in one": {pod().Owner("apps/v1", "StatefulSet", "web-7d4b9").Label("pod-template-hash", "7d4b9"), "StatefulSet/web-7d4b9"},
		"none":                           {pod(), "Pod/web-7d4b9-x2x4z"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := plan.WorkloadOf(tc.pod.Obj()).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestMeasuredElsewhere: what the pods of one workload told makes the grace of
// no other shorter.
func TestMeasuredElsewhere(t *testing.T) {
	type want struct{ Grace, Bound int64 }
	pages := func(workloads ...string) *utiltesting.PolicyWrapper {
		p := utiltesting.MakePolicy("p").Measured(18, 2)
		p.Spec.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{Histogram: "h"}}
		p.Status.GracePeriod.MeasuredWorkloads = workloads
		return p
	}
	pod := func(deployment string) *utiltesting.PodWrapper {
		return utiltesting.MakePod("").Owner("apps/v1", "ReplicaSet", deployment+"-1").Label("pod-template-hash", "1").
			Container(utiltesting.MakeContainer("app")).Grace(300)
	}
	for name, tc := range map[string]struct {
		policy *utiltesting.PolicyWrapper
		pod    *utiltesting.PodWrapper
		want   want
	}{
		"its own":                     {pages("Deployment/web"), pod("web"), want{20, 18}},
		"another's":                   {pages("Deployment/web"), pod("worker"), want{300, 298}},
		"another's, which is longer":  {pages("Deployment/web"), pod("worker").Grace(5), want{20, 18}},
		"another's, but max":          {pages("Deployment/web").GraceBounds(1, 10), pod("worker"), want{300, 298}},
		"another kind's of that name": {pages("StatefulSet/web"), pod("web"), want{300, 298}},
		"nobody knows whose":          {pages(), pod("web"), want{300, 298}},
		"by a query":                  {utiltesting.MakePolicy("p").Measured(18, 2), pod("worker"), want{20, 18}},
	} {
		t.Run(name, func(t *testing.T) {
			planned := plan.Build(tc.policy.Obj(), tc.pod.Obj(), byInit)
			if got := (want{planned.GraceSeconds, planned.BoundSeconds}); got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}
