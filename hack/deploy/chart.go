package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// writeChart copies the chart at from, with the images as its default values:
// what it makes is installed by `helm install` alone.
func writeChart(from, out string, refs map[string]ref) error {
	text, err := os.ReadFile(filepath.Join(from, "values.yaml"))
	if err != nil {
		return err
	}
	values, err := withImages(text, refs)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.CopyFS(out, os.DirFS(from)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "values.yaml"), values, 0o644)
}

// withImages sets the images in the text of a values.yaml, comments kept.
func withImages(text []byte, refs map[string]ref) ([]byte, error) {
	operator, agent := refs["drain-operator"], refs["drain-agent"]
	if operator.Digest == "" || agent.Digest == "" {
		return nil, errors.New("drain-operator and drain-agent must both have a digest")
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	if err := errors.Join(
		setImage(document.Content[0], operator, "image"),
		setImage(document.Content[0], agent, "agent", "image"),
	); err != nil {
		return nil, err
	}
	var written bytes.Buffer
	encoder := yaml.NewEncoder(&written)
	encoder.SetIndent(2)
	err := encoder.Encode(&document)
	return written.Bytes(), err
}

func setImage(values *yaml.Node, image ref, path ...string) error {
	for _, name := range path {
		if values = valueOf(values, name); values == nil {
			return fmt.Errorf("values.yaml has no %s", strings.Join(path, "."))
		}
	}
	name := repository(image)
	registry, short := "", name
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		registry, short = name[:at], name[at+1:]
	}
	for field, value := range map[string]string{"registry": registry, "repository": short, "digest": image.Digest} {
		node := valueOf(values, field)
		if node == nil {
			return fmt.Errorf("values.yaml has no %s.%s", strings.Join(path, "."), field)
		}
		node.SetString(value)
	}
	return nil
}

// valueOf is the value of a key of a mapping, nil when there is none.
func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}
