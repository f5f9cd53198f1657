// Package house holds the direction of imports: main → controllers, webhooks →
// I/O packages → pure packages → api. The linter says the same about single
// files; this looks at what each package reaches inside the module.
package house

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/drain-operator/drain-operator"

type pkg struct {
	ImportPath   string
	Imports      []string
	Deps         []string
	TestImports  []string
	XTestImports []string
}

// The rooms, from the bottom up. A package may import rooms of its own floor
// or below.
var floors = [][]string{
	{"api"},
	{"internal/hold", "internal/drainstatus", "internal/inflight", "internal/rotation", "internal/waiting", "internal/policy", "internal/plan", "internal/condition", "internal/drain", "internal/injection", "internal/eviction", "internal/registration", "internal/latency", "internal/grace", "internal/address", "internal/server", "internal/front"},
	{"internal/store", "internal/write", "internal/telemetry", "internal/certs", "internal/agent", "internal/sockets", "internal/observe", "internal/drainclient", "internal/probe"},
	{"controllers", "internal/webhook"},
	{"", "cmd", "pkg/testenv"},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from, known := floorOf(p.ImportPath)
		if !known {
			continue
		}
		for _, imported := range p.Imports {
			if to, known := floorOf(imported); known && to > from {
				t.Errorf("%s imports %s, which lives above it", p.ImportPath, imported)
			}
		}
	}
}

func TestControllersAndWebhooksAreStrangers(t *testing.T) {
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if under(p.ImportPath, "controllers") && under(dep, "internal/webhook") ||
				under(p.ImportPath, "internal/webhook") && under(dep, "controllers") {
				t.Errorf("%s depends on %s", p.ImportPath, dep)
			}
		}
	}
}

func TestPurePackagesDoNoIO(t *testing.T) {
	forbidden := []string{"context", "log", "log/slog", "net", "net/http", "os", "os/exec", "k8s.io/client-go", "sigs.k8s.io/controller-runtime"}
	for _, p := range packages(t) {
		if floor, known := floorOf(p.ImportPath); !known || floor > 1 {
			continue
		}
		for _, imported := range p.Imports {
			for _, f := range forbidden {
				if strings.HasPrefix(imported, "k8s.io/client-go/applyconfigurations/") {
					continue // values, no client
				}
				if imported == f || strings.Contains(f, ".") && strings.HasPrefix(imported, f+"/") {
					t.Errorf("%s is pure, and imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}

func TestOnlyTestsImportTestHelpers(t *testing.T) {
	for _, p := range packages(t) {
		if under(p.ImportPath, "test") || under(p.ImportPath, "internal/testing") {
			continue
		}
		for _, imported := range p.Imports {
			if under(imported, "test") || under(imported, "internal/testing") {
				t.Errorf("%s imports %s", p.ImportPath, imported)
			}
		}
	}
}

// What suites of other teams import must be theirs to import, and in no binary.
func TestTestenvIsForSuites(t *testing.T) {
	for _, p := range packages(t) {
		for _, dep := range p.Deps {
			if under(dep, "pkg/testenv") && !under(p.ImportPath, "pkg/testenv") {
				t.Errorf("%s depends on %s, which is for tests", p.ImportPath, dep)
			}
			if under(p.ImportPath, "pkg/testenv") && (strings.Contains(dep, "onsi/") || dep == "testing") {
				t.Errorf("%s forces %s on every suite", p.ImportPath, dep)
			}
		}
		if !under(p.ImportPath, "examples/envtest") {
			continue
		}
		used := slices.Concat(p.TestImports, p.XTestImports)
		if !slices.Contains(used, module+"/pkg/testenv") {
			t.Errorf("%s does not show %s", p.ImportPath, "pkg/testenv")
		}
		for _, imported := range used {
			if strings.HasPrefix(imported, module+"/") && !under(imported, "pkg/testenv") && !under(imported, "api") {
				t.Errorf("%s imports %s, which a stranger cannot or need not", p.ImportPath, imported)
			}
		}
	}
}

// packages are the module's, without their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var all []pkg
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if !slices.ContainsFunc(all, func(p pkg) bool { return under(p.ImportPath, "api") }) {
		t.Fatal("no package of the module was listed")
	}
	return all
}

func under(importPath, room string) bool {
	rel := strings.TrimPrefix(importPath, module)
	return rel != importPath && (rel == "/"+room || strings.HasPrefix(rel, "/"+room+"/"))
}

func floorOf(importPath string) (int, bool) {
	if importPath == module {
		return len(floors) - 1, true
	}
	for i, rooms := range floors {
		if slices.ContainsFunc(rooms, func(room string) bool { return room != "" && under(importPath, room) }) {
			return i, true
		}
	}
	return 0, false
}
