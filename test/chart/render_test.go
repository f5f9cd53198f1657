// Package chart holds the Helm chart to config/, to the operator's flags and to
// its own documentation. helm and kustomize come from hack/chart.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/drain-operator/drain-operator/test/tool"
)

const (
	root      = "../.."
	folder    = root + "/charts/drain-operator"
	namespace = "drain-operator-system" // where config/ puts the operator
)

func path(t *testing.T, name string) string {
	t.Helper()
	path, err := tool.Path(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command and returns what it prints, or what it complains about.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, stderr.String())
	}
	return output, nil
}

// template renders the chart with a file of values and further --set arguments.
func template(t *testing.T, values string, sets ...string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	args := []string{"template", "drain-operator", folder, "--namespace", namespace, "--values", filepath.Join(folder, "ci", values+"-values.yaml")}
	for _, set := range sets {
		args = append(args, "--set", set)
	}
	output, err := run(t.Context(), path(t, "helm"), args...)
	if err != nil {
		return nil, err
	}
	return objects(t, output), nil
}

// mustTemplate is template where it has to succeed.
func mustTemplate(t *testing.T, values string, sets ...string) []*unstructured.Unstructured {
	t.Helper()
	rendered, err := template(t, values, sets...)
	if err != nil {
		t.Fatal(err)
	}
	return rendered
}

// kustomized renders config/default.
func kustomized(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	output, err := run(t.Context(), path(t, "kustomize"), "build", root+"/config/default")
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, output)
}

func objects(t *testing.T, manifests []byte) []*unstructured.Unstructured {
	t.Helper()
	var found []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			found = append(found, object)
		}
	}
}

// find returns the object of a kind and name.
func find(t *testing.T, among []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range among {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

// container is the only container of a Deployment.
func container(t *testing.T, deployment *unstructured.Unstructured) map[string]any {
	t.Helper()
	containers, _, err := unstructured.NestedSlice(deployment.Object, "spec", "template", "spec", "containers")
	if err != nil || len(containers) != 1 {
		t.Fatalf("%d containers, %v", len(containers), err)
	}
	return containers[0].(map[string]any)
}

// flagsOf are the flags that a Deployment gives the operator, by name without --.
func flagsOf(t *testing.T, deployment *unstructured.Unstructured) map[string]string {
	t.Helper()
	flags := map[string]string{}
	args, _, err := unstructured.NestedStringSlice(container(t, deployment), "args")
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flags[name] = value
	}
	return flags
}
