package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func TestWithImages(t *testing.T) {
	text, err := os.ReadFile("../../charts/drain-operator/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written, err := withImages(text, map[string]ref{
		"drain-operator": {Name: "registry.example.com:5000/team/operator:dev", Digest: "sha256:a"},
		"drain-agent":    {Name: "agent", Digest: "sha256:b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var want, got map[string]any
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(written, &got); err != nil {
		t.Fatal(err)
	}
	image := want["image"].(map[string]any)
	image["registry"], image["repository"], image["digest"] = "registry.example.com:5000/team", "operator", "sha256:a"
	want["agent"].(map[string]any)["image"] = map[string]any{"registry": "", "repository": "agent", "digest": "sha256:b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Count(string(written), "# -- ") != strings.Count(string(text), "# -- ") {
		t.Error("comments are lost")
	}
}

func TestWithImagesNeedsWhatItSets(t *testing.T) {
	refs := map[string]ref{"drain-operator": {Name: "a", Digest: "sha256:a"}, "drain-agent": {Name: "b", Digest: "sha256:b"}}
	for name, text := range map[string]string{
		"no image": "agent: {image: {registry: a, repository: a, digest: a}}",
		"no field": "image: {registry: a}\nagent: {image: {registry: a, repository: a, digest: a}}",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := withImages([]byte(text), refs); err == nil || !strings.Contains(err.Error(), "values.yaml has no image") {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := withImages([]byte("a: b"), nil); err == nil {
		t.Error("no digest is taken")
	}
}
