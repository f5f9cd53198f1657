// Package corpus holds real pods of public projects, as input for tests, and
// the check that injection has changed in one of them only what the plan says.
// testdata/SOURCES.md names where each pod is from.
package corpus

import (
	"embed"
	"encoding/csv"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

//go:embed testdata
var testdata embed.FS

// Case is one pod of the corpus.
type Case struct {
	// Name is the file's, without its extension.
	Name string
	// Kind of the workload whose template the pod was.
	Kind string
	// Features are what the pod stands for, such as "qos-guaranteed".
	Features []string
	// Pod is as its owner would write it: the API's defaults are not filled in.
	Pod *corev1.Pod
}

// Has reports whether the pod has a feature.
func (c Case) Has(feature string) bool { return slices.Contains(c.Features, feature) }

// Load reads the corpus, in the order of its index.
func Load() ([]Case, error) {
	index, err := testdata.Open("testdata/index.csv")
	if err != nil {
		return nil, fmt.Errorf("opening the corpus: %w", err)
	}
	defer index.Close()
	rows, err := csv.NewReader(index).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("reading the corpus's index: %w", err)
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var cases []Case
	for _, row := range rows[1:] {
		pod, err := readPod(row[column["file"]])
		if err != nil {
			return nil, err
		}
		cases = append(cases, Case{
			Name:     strings.TrimSuffix(row[column["file"]], ".yaml"),
			Kind:     row[column["kind"]],
			Features: strings.Fields(row[column["features"]]),
			Pod:      pod,
		})
	}
	return cases, nil
}

func readPod(file string) (*corev1.Pod, error) {
	content, err := testdata.ReadFile(path.Join("testdata", file))
	if err != nil {
		return nil, fmt.Errorf("reading a pod of the corpus: %w", err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(content, pod); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	return pod, nil
}
