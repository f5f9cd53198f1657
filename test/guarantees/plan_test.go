package guarantees

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func containsText(text, part string) bool { return strings.Contains(text, part) }

func someMatrix() Matrix {
	return Matrix{
		Servers: []string{"go", "node"}, Balancers: []string{"ClusterIP", "slow"}, Events: Events(),
		Variants: Variants(), Operator: Up, Thorough: []string{"go"}, Control: "go",
	}
}

func TestGrounds(t *testing.T) {
	none := func(Key) bool { return false }
	ground := func(server string, v Variant, o Operator, balancer string, events ...Event) Ground {
		return Ground{Server: server, Variant: v, Operator: o, Balancer: balancer, Events: events}
	}
	for name, tc := range map[string]struct {
		edit func(*Matrix)
		done func(Key) bool
		want []Ground
	}{
		"all": {func(*Matrix) {}, none, []Ground{
			ground("go", Covered, Up, "ClusterIP", Events()...),
			ground("node", Covered, Up, "ClusterIP", Events()...),
			ground("go", Bare, Up, "ClusterIP", Rollout),
			ground("node", Bare, Up, "ClusterIP", Rollout),
			ground("go", None, Up, "ClusterIP", Rollout),
			ground("go", Covered, Up, "slow", Events()...),
		}},
		"some are done": {
			func(m *Matrix) { m.Variants, m.Balancers = []Variant{Covered}, []string{"ClusterIP"} },
			func(k Key) bool { return k.Server == "go" || k.Event == ScaleDown },
			[]Ground{ground("node", Covered, Up, "ClusterIP", Rollout, Eviction)},
		},
		"operator down: a ground for each event, none without a policy": {
			func(m *Matrix) {
				m.Operator, m.Servers, m.Balancers = Down, []string{"go"}, []string{"ClusterIP"}
			}, none,
			[]Ground{
				ground("go", Covered, Down, "ClusterIP", Rollout),
				ground("go", Covered, Down, "ClusterIP", ScaleDown),
				ground("go", Covered, Down, "ClusterIP", Eviction),
				ground("go", Bare, Down, "ClusterIP", Rollout),
			},
		},
		"no server is thorough: all are": {
			func(m *Matrix) { m.Thorough, m.Variants, m.Events = nil, []Variant{Covered}, []Event{Rollout} }, none,
			[]Ground{
				ground("go", Covered, Up, "ClusterIP", Rollout),
				ground("node", Covered, Up, "ClusterIP", Rollout),
				ground("go", Covered, Up, "slow", Rollout),
				ground("node", Covered, Up, "slow", Rollout),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := someMatrix()
			tc.edit(&m)
			if diff := cmp.Diff(tc.want, m.Grounds(tc.done)); diff != "" {
				t.Errorf("grounds (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCost(t *testing.T) {
	c := Cost{Setup: 10 * time.Second, Event: 60 * time.Second, Part: 20 * time.Second, Slow: 30 * time.Second}
	grounds := []Ground{
		{Variant: Covered, Balancer: "ClusterIP", Events: Events()}, // 190 s
		{Variant: Bare, Balancer: "slow", Events: []Event{Rollout}}, // 60 s
	}
	for parallel, want := range map[int]time.Duration{0: 250 * time.Second, 1: 250 * time.Second, 2: 125 * time.Second, 8: 125 * time.Second} {
		if got := c.Of(grounds, parallel); got != want {
			t.Errorf("%d at a time: %s, want %s", parallel, got, want)
		}
	}
	if got := c.Of(nil, 3); got != 0 {
		t.Errorf("nothing takes %s", got)
	}
}
