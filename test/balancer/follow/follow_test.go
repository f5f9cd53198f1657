package follow

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
)

var (
	one   = netip.MustParseAddrPort("10.0.0.1:8080")
	two   = netip.MustParseAddrPort("10.0.0.2:8080")
	six   = netip.MustParseAddrPort("[fd00::1]:8080")
	equal = cmp.Comparer(func(a, b Target) bool { return a == b })
)

func slice(port *int32, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: port}}, Endpoints: endpoints}
}

func endpoint(address string, ready *bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready}}
}

func TestReady(t *testing.T) {
	port := ptr.To[int32](8080)
	terminating := endpoint("10.0.0.3", ptr.To(false))
	terminating.Conditions.Serving, terminating.Conditions.Terminating = ptr.To(true), ptr.To(true)
	tests := map[string]struct {
		slices []*discoveryv1.EndpointSlice
		want   []Target
	}{
		"none": {},
		"of all slices, in order, each once": {
			[]*discoveryv1.EndpointSlice{slice(port, endpoint("10.0.0.2", ptr.To(true))), slice(port, endpoint("10.0.0.1", nil), endpoint("10.0.0.2", nil))},
			[]Target{one, two},
		},
		"one that terminates is not, though it serves": {
			[]*discoveryv1.EndpointSlice{slice(port, terminating, endpoint("10.0.0.1", ptr.To(true)))}, []Target{one},
		},
		"without a port number":        {[]*discoveryv1.EndpointSlice{slice(nil, endpoint("10.0.0.1", nil))}, nil},
		"a name instead of an address": {[]*discoveryv1.EndpointSlice{slice(port, endpoint("web.example", nil))}, nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Ready(tc.slices), equal); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLag(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	looks := []struct {
		at      int // seconds
		ready   []Target
		serving []Target
		again   int // seconds, 0 for never
	}{
		{0, []Target{one}, []Target{one}, 0},
		{1, []Target{one, two}, []Target{one, two}, 0},
		{100, []Target{two}, []Target{one, two}, 120}, // one has left
		{110, []Target{two}, []Target{one, two}, 120}, // nothing new
		{115, nil, []Target{one, two}, 120},           // two has left, too
		{120, nil, []Target{two}, 135},                // one is out
		{121, []Target{two}, []Target{two}, 0},        // two is back
		{130, []Target{one}, []Target{one, two}, 150}, // replaced
		{150, []Target{one, one}, []Target{one}, 0},   // each once
		{400, []Target{six}, []Target{one, six}, 420}, // after a long silence
		{500, []Target{six}, []Target{six}, 0},        // late
	}
	lag := &Lag{Delay: 20 * time.Second}
	for _, l := range looks {
		serving, again := lag.Serving(began.Add(time.Duration(l.at)*time.Second), l.ready)
		if diff := cmp.Diff(l.serving, serving, equal); diff != "" {
			t.Errorf("at %d s: %s", l.at, diff)
		}
		var want time.Time
		if l.again > 0 {
			want = began.Add(time.Duration(l.again) * time.Second)
		}
		if !again.Equal(want) {
			t.Errorf("at %d s: again at %v, want %v", l.at, again, want)
		}
	}
	at := &Lag{}
	at.Serving(began, []Target{one, two})
	if serving, again := at.Serving(began, []Target{two}); !cmp.Equal([]Target{two}, serving, equal) || !again.IsZero() {
		t.Errorf("without a delay: %v, again at %v", serving, again)
	}
}

func TestSteps(t *testing.T) {
	tests := map[string]struct {
		have     map[Target]Phase
		serving  []Target
		sessions map[string]int
		options  string
		want     []Step
	}{
		"nothing to do": {have: map[Target]Phase{one: Serving}, serving: []Target{one}},
		"a new one": {
			serving: []Target{one},
			want: []Step{{one, []string{
				"add server pods/p10-0-0-1-8080 10.0.0.1:8080 pool-max-conn 1000 pool-purge-delay 60s",
				"enable server pods/p10-0-0-1-8080",
			}, Serving}},
		},
		"a new one with checks": {
			serving: []Target{six}, options: Checks,
			want: []Step{{six, []string{
				"add server pods/pfd00--1-8080 [fd00::1]:8080 pool-max-conn 1000 pool-purge-delay 60s check inter 2s",
				"enable health pods/pfd00--1-8080",
				"enable server pods/pfd00--1-8080",
			}, Serving}},
		},
		"one goes while another comes: first the new one": {
			have: map[Target]Phase{one: Serving}, serving: []Target{two}, sessions: map[string]int{Name(one): 3},
			want: []Step{
				{two, []string{
					"add server pods/p10-0-0-2-8080 10.0.0.2:8080 pool-max-conn 1000 pool-purge-delay 60s",
					"enable server pods/p10-0-0-2-8080",
				}, Serving},
				{one, []string{"set server pods/p10-0-0-1-8080 state drain"}, Draining},
			},
		},
		"a draining one with requests under way": {
			have: map[Target]Phase{one: Draining}, sessions: map[string]int{Name(one): 1},
		},
		"a draining one without": {
			have: map[Target]Phase{one: Draining}, sessions: map[string]int{Name(one): 0, Name(two): 1},
			want: []Step{{one, []string{"set server pods/p10-0-0-1-8080 state maint"}, Leaving}},
		},
		"a leaving one": {
			have: map[Target]Phase{one: Leaving},
			want: []Step{{one, []string{"del server pods/p10-0-0-1-8080"}, Absent}},
		},
		"one that comes back": {
			have: map[Target]Phase{one: Draining, two: Leaving}, serving: []Target{one, two},
			want: []Step{
				{one, []string{"set server pods/p10-0-0-1-8080 state ready"}, Serving},
				{two, []string{"set server pods/p10-0-0-2-8080 state ready"}, Serving},
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Steps(tc.have, tc.serving, tc.sessions, tc.options), equal); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSessions(t *testing.T) {
	stat := "# pxname,svname,qcur,qmax,scur,smax,\nweb,FRONTEND,,,9,9,\npods,p10-0-0-1-8080,0,0,2,3,\npods,p10-0-0-2-8080,0,0,0,1,\npods,BACKEND,0,0,2,3,\n\n"
	got, err := Sessions(stat)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int{Name(one): 2, Name(two): 0, "BACKEND": 2}, got); diff != "" {
		t.Error(diff)
	}
	for name, bad := range map[string]string{
		"empty": "", "no such column": "# pxname,svname\npods,x\n", "no number": "# pxname,svname,scur\npods,x,many\n",
	} {
		if got, err := Sessions(bad); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestSucceeded(t *testing.T) {
	for answer, want := range map[string]bool{
		"\n": true, "New server registered.\n": true, "Server deleted.\n\n": true,
		"No such server.\n": false, "Server still has connections attached to it, cannot remove it.\n": false,
	} {
		if got := Succeeded(answer); got != want {
			t.Errorf("%q: %v", answer, got)
		}
	}
}

func TestNginxConfig(t *testing.T) {
	with := NginxConfig("0.0.0.0:8080", "/run/follow", []Target{one, six})
	for _, want := range []string{
		"    server 10.0.0.1:8080 max_fails=0;\n    server [fd00::1]:8080 max_fails=0;\n    keepalive 64;\n    keepalive_requests 1000000;\n    keepalive_timeout 1s;\n",
		"listen 0.0.0.0:8080;", "proxy_next_upstream off;", "proxy_pass http://pods;", "pid /run/follow/nginx.pid;",
	} {
		if !strings.Contains(with, want) {
			t.Errorf("%q is missing in\n%s", want, with)
		}
	}
	without := NginxConfig("0.0.0.0:8080", "/run/follow", nil)
	if !strings.Contains(without, "return 503;") || strings.Contains(without, "upstream pods") {
		t.Errorf("without targets:\n%s", without)
	}
}
