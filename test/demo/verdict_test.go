package demo

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/test/load"
)

func tally(requests, cut int) load.Tally {
	t := load.Tally{Requests: requests}
	t.ByCause[load.Answered] = requests - cut
	t.ByCause[load.Reset] = cut
	return t
}

// good are the figures of a demo that shows everything.
func good() []Figures {
	return []Figures{
		{Workload: Abrupt, Treatment: None, Fresh: tally(5000, 90), Drains: 8},
		{Workload: Shutdown, Treatment: None, Fresh: tally(5000, 40), Drains: 8},
		{Workload: SDK, Treatment: None, Fresh: tally(5000, 40), Drains: 8},
		{Workload: Abrupt, Treatment: Policy, Fresh: tally(30000, 1), Drains: 8, Injected: 8},
		{Workload: Shutdown, Treatment: Policy, Judged: tally(20000, 0), JudgedWhat: "fresh connections", Persistent: tally(9000, 12), Drains: 8, Injected: 8},
		{Workload: SDK, Treatment: Policy, Judged: tally(20001, 0), JudgedWhat: "all connections", Drains: 8, Injected: 8},
	}
}

func TestJudge(t *testing.T) {
	const shutdownNone, sdkNone, shutdownPolicy, sdkPolicy = 1, 2, 4, 5
	for name, tc := range map[string]struct {
		edit func([]Figures) []Figures
		want []string
	}{
		"everything holds": {
			edit: func(c []Figures) []Figures { return c },
		},
		"one request of the SDK workload dropped": {
			edit: func(c []Figures) []Figures { c[sdkPolicy].Judged = tally(20001, 1); return c },
			want: []string{"sdk with a policy: 1 of 20,001 requests on all connections were dropped"},
		},
		"one fresh request of the Shutdown workload dropped": {
			edit: func(c []Figures) []Figures { c[shutdownPolicy].Judged = tally(20000, 1); return c },
			want: []string{"shutdown with a policy: 1 of 20,000 requests on fresh connections were dropped"},
		},
		"SIGTERM while responses were owed": {
			edit: func(c []Figures) []Figures { c[sdkPolicy].Owed = 2; return c },
			want: []string{"sdk with a policy: pods still owed 2 responses when they got SIGTERM"},
		},
		"too few requests": {
			edit: func(c []Figures) []Figures { c[sdkPolicy].Judged = tally(19999, 0); return c },
			want: []string{"sdk with a policy: 19,999 requests on all connections are too few to tell, at least 20,000 are needed"},
		},
		"a pod that no policy drained": {
			edit: func(c []Figures) []Figures { c[sdkPolicy].Injected = 7; return c },
			want: []string{"sdk with a policy: only 7 of 8 old pods were injected, so a policy did not drain them"},
		},
		"a restart that replaced nothing": {
			edit: func(c []Figures) []Figures { c[shutdownPolicy].Drains, c[shutdownPolicy].Injected = 4, 4; return c },
			want: []string{"shutdown with a policy: 4 old pods were seen to go, not 8"},
		},
		"no comparison": {
			edit: func(c []Figures) []Figures { return c[sdkNone:] },
			want: []string{"shutdown was not run both without a policy and with one"},
		},
		"comparison with injected pods": {
			edit: func(c []Figures) []Figures { c[shutdownNone].Injected = 1; return c },
			want: []string{"shutdown without a policy: 1 pods were injected nevertheless"},
		},
		"comparison without load": {
			edit: func(c []Figures) []Figures { c[sdkNone].Fresh = load.Tally{}; return c },
			want: []string{"sdk without a policy: no requests were sent"},
		},
		"no policy at all": {
			edit: func(c []Figures) []Figures { return c[:3] },
			want: []string{"sdk was not run both without a policy and with one", "shutdown was not run both without a policy and with one"},
		},
		"nothing": {
			edit: func([]Figures) []Figures { return nil },
			want: []string{"sdk was not run both without a policy and with one", "shutdown was not run both without a policy and with one"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge(tc.edit(good()), 2, 4, 20_000)
			if diff := cmp.Diff(tc.want, v.Failed); diff != "" {
				t.Errorf("failed claims (-want +got):\n%s", diff)
			}
			if v.OK != (len(tc.want) == 0) {
				t.Errorf("OK is %v with %d failed claims", v.OK, len(tc.want))
			}
			if v.OK && len(v.Proven) != 5 {
				t.Errorf("proven: %q", v.Proven)
			}
		})
	}
}
