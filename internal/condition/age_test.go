package condition

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

// met is a drain that ended so long ago and met a connection of that age.
func met(ago, oldest time.Duration) v1alpha1.DrainRecord {
	return v1alpha1.DrainRecord{EndedAt: metav1.NewTime(now.Add(-ago)), OldestLongLivedSeconds: ptr.To(int32(oldest / time.Second))}
}

// deployedAgo is a workload of the policy's, deployed so long ago.
func deployedAgo(ago ...time.Duration) Deployed {
	d := Deployed{PodLabels: map[string]string{"app": "web"}}
	for _, a := range ago {
		d.At = append(d.At, now.Add(-a))
	}
	return d
}

func TestConnectionsYoungEnough(t *testing.T) {
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	const day = 24 * time.Hour
	blind := v1alpha1.DrainRecord{EndedAt: metav1.NewTime(now)}
	daily := deployedAgo(3*day, day, 0, 2*day)
	other := deployedAgo(10*day, 0)
	other.PodLabels = map[string]string{"app": "api"}
	tests := map[string]struct {
		drains   []v1alpha1.DrainRecord
		deployed []Deployed
		status   metav1.ConditionStatus
		reason   string
		says     string
	}{
		"no drain":                   {nil, []Deployed{daily}, unknown, "NoneSeen", ""},
		"no long-lived connection":   {[]v1alpha1.DrainRecord{blind}, []Deployed{daily}, unknown, "NoneSeen", ""},
		"nothing known of workloads": {[]v1alpha1.DrainRecord{met(0, day)}, nil, unknown, "NotYetChecked", ""},
		"no workload":                {[]v1alpha1.DrainRecord{met(0, day)}, []Deployed{}, unknown, "NoDeploymentsSeen", ""},
		"deployed once":              {[]v1alpha1.DrainRecord{met(0, day)}, []Deployed{deployedAgo(day)}, unknown, "NoDeploymentsSeen", ""},
		"another's deployments":      {[]v1alpha1.DrainRecord{met(0, day)}, []Deployed{other}, unknown, "NoDeploymentsSeen", ""},
		"young":                      {[]v1alpha1.DrainRecord{met(0, time.Hour)}, []Deployed{daily}, yes, "YoungEnough", "up to 60 min old when their pod drained, and deployments are 24 h apart"},
		"half as old, give or take":  {[]v1alpha1.DrainRecord{met(0, 13*time.Hour+12*time.Minute)}, []Deployed{daily, other}, yes, "YoungEnough", ""},
		"just not old":               {[]v1alpha1.DrainRecord{met(0, 19*time.Hour+11*time.Minute)}, []Deployed{daily}, yes, "YoungEnough", ""},
		"old":                        {[]v1alpha1.DrainRecord{met(0, 19*time.Hour+12*time.Minute)}, []Deployed{daily}, no, "AsOldAsDeployments", "A maximum connection age of 12 h"},
		"older than ever possible":   {[]v1alpha1.DrainRecord{met(0, 1<<31*time.Second-time.Second)}, []Deployed{daily}, no, "AsOldAsDeployments", ""},
		"the oldest of a deployment counts": {
			[]v1alpha1.DrainRecord{blind, met(0, time.Hour), met(time.Minute, 23*time.Hour), met(2*time.Minute, time.Hour)}, []Deployed{daily}, no, "AsOldAsDeployments", "up to 23 h",
		},
		"the deployment before does not": {
			[]v1alpha1.DrainRecord{met(0, time.Hour), met(day, 23*time.Hour)}, []Deployed{daily}, yes, "YoungEnough", "",
		},
		"a second try at a deployment changes little": {
			[]v1alpha1.DrainRecord{met(0, time.Hour)}, []Deployed{deployedAgo(4*day, 3*day, 3*day-time.Minute, 2*day, day)}, yes, "YoungEnough", "24 h apart",
		},
		"the rhythm of late counts": {
			[]v1alpha1.DrainRecord{met(0, 55*time.Minute)},
			[]Deployed{deployedAgo(300*day, 200*day, 100*day, 99*day, 98*day, 8*time.Hour, 7*time.Hour, 6*time.Hour, 5*time.Hour, 4*time.Hour, 3*time.Hour, 2*time.Hour, time.Hour)},
			no, "AsOldAsDeployments", "deployments are 60 min apart",
		},
		"of two workloads the one that is deployed more seldom": {
			[]v1alpha1.DrainRecord{met(0, 20*time.Hour)}, []Deployed{daily, deployedAgo(14*day, 7*day)}, yes, "YoungEnough", "7 days apart",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := testobjects.MakePolicy("web").Obj()
			p.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
			got := connectionsYoungEnough(p, tc.drains, tc.deployed)
			if got.Type != v1alpha1.ConditionConnectionsYoungEnough || got.Status != tc.status || got.Reason != tc.reason || !strings.Contains(got.Message, tc.says) {
				t.Errorf("got %+v, want %s %s that says %q", got, tc.status, tc.reason, tc.says)
			}
		})
	}
}
