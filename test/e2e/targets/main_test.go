package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the API server says of pods becomes what Prometheus wants to be told.
func TestGroups(t *testing.T) {
	const answer = `{"kind": "PodList", "items": [
		{"metadata": {"namespace": "shop", "name": "web-1"}, "status": {"phase": "Running", "podIP": "10.0.0.7"}},
		{"metadata": {"namespace": "shop", "name": "web-2"}, "status": {"phase": "Running", "podIP": "fd00::7"}},
		{"metadata": {"namespace": "shop", "name": "waits"}, "status": {"phase": "Pending"}},
		{"metadata": {"namespace": "shop", "name": "done"}, "status": {"phase": "Succeeded", "podIP": "10.0.0.8"}}]}`
	var found podList
	if err := json.Unmarshal([]byte(answer), &found); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(groups(found, 8081))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"targets":["10.0.0.7:8081"],"labels":{"namespace":"shop","pod":"web-1"}},` +
		`{"targets":["[fd00::7]:8081"],"labels":{"namespace":"shop","pod":"web-2"}}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// No pods are a list without entries: null would be an error to Prometheus.
func TestNoGroups(t *testing.T) {
	got, err := json.Marshal(groups(podList{}, 8081))
	if err != nil || string(got) != "[]" {
		t.Errorf("got %s, %v", got, err)
	}
}
