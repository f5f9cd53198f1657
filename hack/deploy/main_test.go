package main

import "testing"

func TestKustomization(t *testing.T) {
	got, err := kustomization("../../config/default", map[string]ref{
		"drain-operator": {Name: "registry:5000/team/drain-operator:dev", Digest: "sha256:aa"},
		"drain-agent":    {Name: "registry:5000/drain-agent", Digest: "sha256:bb"},
	}, []string{"--agent-delivery=InitContainer"})
	if err != nil {
		t.Fatal(err)
	}
	want := `images:
- digest: sha256:aa
  name: drain-operator
  newName: registry:5000/team/drain-operator
patches:
- patch: '[{"op":"replace","path":"/spec/template/spec/containers/0/args/0","value":"--agent-image=registry:5000/drain-agent@sha256:bb"},{"op":"add","path":"/spec/template/spec/containers/0/args/-","value":"--agent-delivery=InitContainer"}]'
  target:
    kind: Deployment
    name: drain-operator
resources:
- ../../config/default
`
	if string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestKustomizationNeedsBothImages(t *testing.T) {
	if got, err := kustomization("x", map[string]ref{"drain-operator": {Name: "a", Digest: "sha256:aa"}}, nil); err == nil {
		t.Errorf("got %s, want an error", got)
	}
}
