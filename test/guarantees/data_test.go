package guarantees

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/test/load"
)

func cell(server string, e Event, pods int) Cell {
	return Cell{
		Key: Key{Server: server, Variant: Covered, Operator: Up, Balancer: "ClusterIP", Event: e}, At: "2026-01-02", TookSeconds: 60,
		Pods: pods, Held: Spread{5, 6.5, 8}, Outcomes: map[string]int{"Drained": pods},
		Clients: []Seen{{Client: Fresh, Requests: 10_000}, {Client: Busy, Requests: 500, Failures: map[string]int{"reset": 1}}},
	}
}

func TestDataSurvivesEncoding(t *testing.T) {
	want := Data{}.With(
		Entry{Cell: cell("node", Eviction, 4), Kubernetes: "v1.36.3", Cores: 2, Versions: map[string]string{"nodejs": "18"}},
		Entry{Cell: cell("go", Rollout, 8), Kubernetes: "v1.36.3", Cores: 2},
	)
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("after encoding (-want +got):\n%s", diff)
	}
	if lines := strings.Count(string(b), "\n    {\"server\""); lines != 2 {
		t.Errorf("%d lines with a cell, want 2:\n%s", lines, b)
	}
	if _, err := Decode([]byte(`{"cells":[{"sever":"go"}]}`)); err == nil {
		t.Error("an unknown field is read")
	}
}

func TestWithReplacesAndOrders(t *testing.T) {
	d := Data{}
	for _, c := range []Cell{cell("node", Eviction, 4), cell("node", Rollout, 5), cell("go", ScaleDown, 6), cell("node", Eviction, 7)} {
		d = d.With(Entry{Cell: c})
	}
	want := []Cell{cell("go", ScaleDown, 6), cell("node", Rollout, 5), cell("node", Eviction, 7)}
	if diff := cmp.Diff(want, d.Cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

func TestReadLog(t *testing.T) {
	line, err := json.Marshal(Entry{Cell: cell("go", Rollout, 8), Cores: 2})
	if err != nil {
		t.Fatal(err)
	}
	whole := string(line)
	for name, tc := range map[string]struct {
		log  string
		want int // entries; -1 is an error
	}{
		"nothing":              {"", 0},
		"two":                  {whole + "\n" + whole + "\n", 2},
		"killed within a line": {whole + "\n" + whole[:40], 1},
		"and gone on":          {whole + "\n\n" + whole + "\n", 2},
		"broken within":        {whole[:40] + "\n" + whole + "\n", -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadLog(strings.NewReader(tc.log))
			if tc.want < 0 {
				if err == nil {
					t.Error("no error")
				}
				return
			}
			if err != nil || len(got) != tc.want {
				t.Errorf("%d entries and %v, want %d", len(got), err, tc.want)
			}
		})
	}
}

func TestAggregate(t *testing.T) {
	key := Key{Server: "go", Variant: Bare, Operator: Up, Balancer: "ClusterIP", Event: Rollout}
	results := load.Results{
		StartedAt: time.Date(2026, 1, 2, 23, 0, 0, 0, time.UTC), Elapsed: 61 * time.Second, MaxLag: 120 * time.Millisecond,
		Records: []load.Record{{Kind: load.Fresh}, {Kind: load.Fresh}, {Kind: load.Busy}, {Kind: load.Busy, Cause: load.Reset}},
		Sessions: []load.Session{
			{Kind: load.WebSocket, Told: time.Second, Sent: 10, Received: 9},                     // the other was declared unprocessed
			{Kind: load.WebSocket, Client: 1, Cause: load.Reset, Sent: 10, Received: 8, Lost: 2}, // cut, and not back
			{Kind: load.WebSocket, Sent: 10, Received: 10},                                       // stood at the end
			{Kind: load.EventStream, Told: time.Second, Cause: load.Closed},                      // told, then cut
			{Kind: load.EventStream},
		},
	}
	ends := []End{{Held: 8 * time.Second, Outcome: "Drained"}, {Held: 5040 * time.Millisecond, Outcome: "TimedOut", Killed: true}, {Held: 6 * time.Second}}
	want := Cell{
		Key: key, At: "2026-01-02", TookSeconds: 61, LateMillis: 120, Pods: 3, Held: Spread{5, 6, 8},
		Outcomes: map[string]int{"Drained": 1, "TimedOut": 1, "killed": 1},
		Clients: []Seen{{Client: Fresh, Requests: 2}, {Client: Busy, Requests: 2, Failures: map[string]int{"reset": 1}},
			{Client: WebSocket, Requests: 30, Ended: 2, Told: 1, Failures: map[string]int{CutUntold: 1, Lost: 2, NotBack: 1}},
			{Client: EventStream, Requests: 2, Ended: 1, Told: 1}},
	}
	if diff := cmp.Diff(want, Aggregate(key, results, ends)); diff != "" {
		t.Errorf("cell (-want +got):\n%s", diff)
	}
}
