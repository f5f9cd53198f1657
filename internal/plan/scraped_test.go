package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	utiltesting "github.com/drain-operator/drain-operator/internal/testing"
)

// TestScrapedPort: scrapes go on while a pod ends, and are no work.
func TestScrapedPort(t *testing.T) {
	web := func() *utiltesting.ContainerWrapper { return utiltesting.MakeContainer("web").Port("http", 8080) }
	both := func() *utiltesting.ContainerWrapper { return web().Port("metrics", 9090) }
	exporter := utiltesting.MakeContainer("exporter").Port("prometheus", 9090)
	byName, byNumber := intstr.FromString("metrics"), intstr.FromInt32(9090)
	for name, tc := range map[string]struct {
		scraped *intstr.IntOrString // nil = no podMetrics
		status  func(*utiltesting.PolicyWrapper)
		pod     *utiltesting.PodWrapper
		want    []int32
	}{
		"no metrics pages are read": {pod: utiltesting.MakePod("a").Container(both()), want: []int32{8080, 9090}},
		"a port of their own":       {scraped: &byNumber, pod: utiltesting.MakePod("a").Container(both()), want: []int32{8080}},
		"by its name":               {scraped: &byName, pod: utiltesting.MakePod("a").Container(both()), want: []int32{8080}},
		"a name with more in it": {
			scraped: &byNumber, pod: utiltesting.MakePod("a").Container(web().Port("http-metrics", 9090)), want: []int32{8080},
		},
		"of another container": {scraped: &byNumber, pod: utiltesting.MakePod("a").Container(web()).Container(exporter), want: []int32{8080}},
		"with an HTTP status": {
			scraped: &byNumber, status: func(p *utiltesting.PolicyWrapper) { p.HTTP(intstr.FromString("http")) },
			pod: utiltesting.MakePod("a").Container(both()), want: []int32{8080},
		},
		"the readiness probe uses it": {
			scraped: &byNumber, pod: utiltesting.MakePod("a").Container(both().Readiness(byName)), want: []int32{8080, 9090},
		},
		"the readiness probe uses another": {
			scraped: &byNumber, pod: utiltesting.MakePod("a").Container(both().Readiness(intstr.FromString("http"))), want: []int32{8080},
		},
		"the only port": {scraped: &byName, pod: utiltesting.MakePod("a").Container(utiltesting.MakeContainer("web").Port("metrics", 9090)), want: []int32{9090}},
		"a port whose name says nothing of metrics may serve as well": {
			scraped: &byName, pod: utiltesting.MakePod("a").Container(web().Port("debug", 6060)), want: []int32{6060, 8080},
		},
		"by number": {
			scraped: ptr.To(intstr.FromInt32(8080)), pod: utiltesting.MakePod("a").Container(web().Port("debug", 6060)), want: []int32{6060, 8080},
		},
		"the policy names the ports": {
			scraped: &byNumber, status: func(p *utiltesting.PolicyWrapper) { p.TCP(8080, 9090) },
			pod: utiltesting.MakePod("a").Container(both()), want: []int32{8080, 9090},
		},
		"no container has it": {scraped: &byName, pod: utiltesting.MakePod("a").Container(web()), want: []int32{8080}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := utiltesting.MakePolicy("p")
			if tc.scraped != nil {
				policy.Spec.GracePeriod.Latency = &v1alpha1.Latency{PodMetrics: &v1alpha1.PodMetricsLatency{Port: *tc.scraped, Histogram: "h"}}
			}
			if tc.status != nil {
				tc.status(policy)
			}
			for container, spec := range see(t, plan.Build(policy.Obj(), tc.pod.Obj(), byInit)).Holds {
				if diff := cmp.Diff(tc.want, spec.ServePorts); diff != "" {
					t.Errorf("%s (-want +got):\n%s", container, diff)
				}
			}
		})
	}
}
