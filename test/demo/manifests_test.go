package demo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seen is what a cell's manifests come to, as far as treatments differ.
type seen struct {
	Namespace, Image string
	Replicas         int32
	SleepSeconds     int64
	Policy           string
}

func look(m Manifests) seen {
	c := m.Deployment.Spec.Template.Spec.Containers[0]
	s := seen{Namespace: m.Deployment.Namespace, Image: c.Image, Replicas: *m.Deployment.Spec.Replicas}
	if c.Lifecycle != nil {
		s.SleepSeconds = c.Lifecycle.PreStop.Sleep.Seconds
	}
	if m.Policy != nil {
		s.Policy = m.Policy.GetNamespace() + "/" + m.Policy.GetName()
	}
	return s
}

// The manifests that people read are those that the demo runs.
func TestExamplesUnderEveryTreatment(t *testing.T) {
	cfg := Default()
	cfg.Image = "example.test/examples@sha256:0"
	for _, workload := range cfg.Workloads {
		m, err := ReadManifests(filepath.Join("..", "..", "examples", workload))
		if err != nil {
			t.Fatal(err)
		}
		before := look(m)
		base := seen{Namespace: "ns", Image: cfg.Image, Replicas: 4}
		sleep, policy := base, base
		sleep.SleepSeconds, policy.Policy = sleepSeconds, "ns/"+workload
		for treatment, want := range map[Treatment]seen{None: base, Sleep: sleep, Policy: policy} {
			if diff := cmp.Diff(want, look(m.Adapt("ns", treatment, cfg))); diff != "" {
				t.Errorf("%s under %s (-want +got):\n%s", workload, treatment, diff)
			}
		}
		if diff := cmp.Diff(before, look(m)); diff != "" {
			t.Errorf("%s was changed by being adapted (-want +got):\n%s", workload, diff)
		}
	}
}

func TestManifestsMissOne(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"deployment.yaml": "kind: Deployment\n---\n", "drainpolicy.yaml": "kind: DrainPolicy\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ReadManifests(dir); err == nil {
		t.Error("an example without a Service is accepted")
	}
	if _, err := ReadManifests(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that is not there is accepted")
	}
}
