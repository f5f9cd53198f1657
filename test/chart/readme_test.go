package chart

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the table of values into the chart's README.md")

const (
	readme = folder + "/README.md"
	begin  = "<!-- Made from values.yaml by `go test ./test/chart -update`; do not edit. -->\n"
	end    = "<!-- End of the table. -->\n"
)

func TestReadmeTellsEveryValue(t *testing.T) {
	written, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(written), begin)
	_, after, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatal("README.md has no place for the table")
	}
	want := before + begin + "\n" + valuesTable(t) + "\n" + end + after
	if *update {
		if err := os.WriteFile(readme, []byte(want), 0o644); err != nil { //nolint:gosec // a page of documentation
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(written)); diff != "" {
		t.Errorf("out of date: go test ./test/chart -update (-want +got):\n%s", diff)
	}
}

// valuesTable has a row for every value that values.yaml describes, and fails
// on one that it does not describe.
func valuesTable(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(folder + "/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n|---|---|---|\n")
	writeRows(t, &table, "", document.Content[0])
	return table.String()
}

func writeRows(t *testing.T, table *strings.Builder, path string, mapping *yaml.Node) {
	t.Helper()
	for i := 0; i < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		described, meaning := description(name)
		switch {
		case described:
			fmt.Fprintf(table, "| `%s` | `%s` | %s |\n", path+name.Value, inline(t, value), meaning)
		case value.Kind == yaml.MappingNode && len(value.Content) > 0:
			writeRows(t, table, path+name.Value+".", value)
		default:
			t.Errorf("values.yaml does not say what %s%s is", path, name.Value)
		}
	}
}

// description is what follows "# -- " above a value, in one line.
func description(name *yaml.Node) (described bool, meaning string) {
	_, text, described := strings.Cut(name.HeadComment, "# -- ")
	return described, strings.ReplaceAll(text, "\n# ", " ")
}

// inline is a value as JSON, scalars as they are.
func inline(t *testing.T, node *yaml.Node) string {
	t.Helper()
	if node.Kind == yaml.ScalarNode && node.Value != "" {
		return node.Value
	}
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}
