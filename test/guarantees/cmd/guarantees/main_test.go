package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/test/guarantees"
)

func TestSelection(t *testing.T) {
	m, err := matrix("go nginx", "slow,ClusterIP", "", "covered", "down", "")
	if err != nil {
		t.Fatal(err)
	}
	want := guarantees.Matrix{
		Servers: []string{"go", "nginx"}, Balancers: []string{"slow", "ClusterIP"}, Events: guarantees.Events(),
		Variants: []guarantees.Variant{guarantees.Covered}, Operator: guarantees.Down, Control: controlServer,
	}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	for name, args := range map[string][6]string{
		"server":   {"apache"},
		"balancer": {"", "f5"},
		"event":    {"", "", "fire"},
		"variant":  {"", "", "", "naked"},
		"operator": {"", "", "", "", "sideways"},
		"thorough": {"", "", "", "", "up", "apache"},
	} {
		if _, err := matrix(args[0], args[1], args[2], args[3], args[4], args[5]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// All that is selected by default is there to be run.
func TestDefaultsAreKnown(t *testing.T) {
	for _, s := range append(thoroughServers, controlServer) {
		if !contains(serverNames(), s) {
			t.Errorf("no server %s", s)
		}
	}
	for s := range plainWhenBare {
		if !contains(serverNames(), s) {
			t.Errorf("no server %s", s)
		}
	}
	for _, b := range balancerNames() {
		if !guarantees.KnowsBalancer(b) {
			t.Errorf("the page has no heading for balancer %s", b)
		}
	}
	for _, s := range serverNames() {
		if !guarantees.KnowsServer(s) {
			t.Errorf("nothing is said of what server %s does on SIGTERM", s)
		}
	}
}

func TestWorkloads(t *testing.T) {
	for _, server := range serverNames() {
		for _, v := range guarantees.Variants() {
			w, err := workload("image")(server, v, "ns", 4)
			if err != nil {
				t.Fatal(err)
			}
			if w.App != server || len(w.Objects) == 0 || (w.Policy == nil) != (v == guarantees.None) {
				t.Errorf("%s, %s: %+v", server, v, w)
			}
		}
	}
}

// A run that is killed within a line goes on behind the last whole one.
func TestIncompleteLineIsDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for text, want := range map[string]string{
		"":                 "",
		"whole\n":          "whole\n",
		"whole\nhal":       "whole\n",
		"whole\nwhole\nha": "whole\nwhole\n",
		"ha":               "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dropIncomplete(path); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("of %q %q is left, want %q (%v)", text, got, want, err)
		}
	}
	if err := dropIncomplete(path + "-missing"); err != nil {
		t.Error(err)
	}
}

func TestReference(t *testing.T) {
	list := images{"drain-servers": {"localhost:5000/drain-servers:dev", "sha256:1"}, "none": {"x", ""}}
	got, err := list.reference("drain-servers")
	if want := "localhost:5000/drain-servers@sha256:1"; err != nil || got != want {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
	for _, name := range []string{"none", "other"} {
		if _, err := list.reference(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
