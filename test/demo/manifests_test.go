package demo

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
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

// The cells of the chapter on the grace period differ in the grace alone.
func TestExampleUnderEveryGrace(t *testing.T) {
	cfg := Default()
	cfg.Image = "example.test/examples@sha256:0"
	m, err := ReadManifests(filepath.Join("..", "..", "examples", cfg.Grace.Workload))
	if err != nil {
		t.Fatal(err)
	}
	type graced struct {
		Own      int64
		Policy   map[string]any
		Latency  bool
		Selector map[string]string
		Args     []string
	}
	for setting, want := range map[Setting]graced{
		Usual: {Policy: map[string]any{"minSeconds": int64(30), "maxSeconds": int64(30)}},
		Short: {Own: 5, Policy: map[string]any{"minSeconds": int64(5), "maxSeconds": int64(5)}},
		Tuned: {Policy: map[string]any{"minSeconds": 5.0, "maxSeconds": 120.0, "windowSeconds": int64(120), "stabilizationWindowSeconds": int64(0)}, Latency: true},
	} {
		a, err := m.AdaptGrace("ns", "node-1", setting, cfg)
		if err != nil {
			t.Fatal(err)
		}
		spec := a.Deployment.Spec.Template.Spec
		policy, _, _ := unstructured.NestedMap(a.Policy.Object, "spec", "gracePeriod")
		got := graced{
			Own: ptr.Deref(spec.TerminationGracePeriodSeconds, 0), Policy: policy, Selector: spec.NodeSelector, Args: spec.Containers[0].Args,
		}
		_, got.Latency = policy["latency"]
		for _, same := range []string{"latency", "percentile", "marginPercent", "shutdownSeconds"} {
			delete(policy, same)
		}
		want.Selector, want.Args = map[string]string{"kubernetes.io/hostname": "node-1"}, []string{"-leaky"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", setting, diff)
		}
		if label := a.Deployment.Spec.Template.Labels[labelCell]; label != string(setting) {
			t.Errorf("%s: the pods' label is %q", setting, label)
		}
	}
	if spec := m.Deployment.Spec.Template.Spec; spec.NodeSelector != nil || len(spec.Containers[0].Args) > 0 {
		t.Error("the example was changed by being adapted")
	}
	if _, err := m.AdaptGrace("ns", "node-1", "endless", cfg); err == nil {
		t.Error("an unknown setting is accepted")
	}
}
