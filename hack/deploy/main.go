// Command deploy writes a kustomization and a Helm chart that install the
// operator with the images that `make image` has built or `make image-push` has
// pushed.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// ref is an image: a name with a tag, and a digest.
type ref struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

func main() {
	images := flag.String("images", "dist/images.json", "`file` that says what the images are called")
	out := flag.String("out", "dist/deploy", "`folder` to write, below the repository's root")
	chart := flag.String("chart", "dist/chart/drain-operator", "`folder` to write the chart to")
	args := flag.String("args", "", "further `flags` of the operator, separated by spaces")
	flag.Parse()
	if err := write(*images, *out, *chart, strings.Fields(*args)); err != nil {
		fmt.Fprintln(os.Stderr, "deploy:", err)
		os.Exit(1)
	}
}

func write(images, out, chart string, args []string) error {
	data, err := os.ReadFile(images)
	if err != nil {
		return err
	}
	var refs map[string]ref
	if err := json.Unmarshal(data, &refs); err != nil {
		return fmt.Errorf("%s: %w", images, err)
	}
	base, err := filepath.Rel(out, "config/default")
	if err != nil {
		return err
	}
	overlay, err := kustomization(base, refs, args)
	if err != nil {
		return fmt.Errorf("%s: %w", images, err)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "kustomization.yaml"), overlay, 0o644); err != nil {
		return err
	}
	return writeChart("charts/drain-operator", chart, refs)
}

// kustomization is an overlay of base: the operator's image, the agent's as
// its first argument, further arguments behind it.
func kustomization(base string, refs map[string]ref, args []string) ([]byte, error) {
	operator, agent := refs["drain-operator"], refs["drain-agent"]
	if operator.Digest == "" || agent.Digest == "" {
		return nil, errors.New("drain-operator and drain-agent must both have a digest")
	}
	type object = map[string]any
	container := "/spec/template/spec/containers/0"
	patch := []object{{"op": "replace", "path": container + "/args/0", "value": "--agent-image=" + repository(agent) + "@" + agent.Digest}}
	for _, arg := range args {
		patch = append(patch, object{"op": "add", "path": container + "/args/-", "value": arg})
	}
	encoded, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(object{
		"resources": []string{base},
		"images":    []object{{"name": "drain-operator", "newName": repository(operator), "digest": operator.Digest}},
		"patches": []object{{
			"target": object{"kind": "Deployment", "name": "drain-operator"},
			"patch":  string(encoded),
		}},
	})
}

// repository is the name without its tag. A colon before the last slash is a port.
func repository(r ref) string {
	if at := strings.LastIndexByte(r.Name, ':'); at > strings.LastIndexByte(r.Name, '/') {
		return r.Name[:at]
	}
	return r.Name
}
