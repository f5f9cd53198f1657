// Command licences lists the licences of all modules that are linked into what
// the project ships, and refuses those that nobody has allowed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
)

const module = "github.com/drain-operator/drain-operator"

// shipped is what others run or link, by its column in the list.
var shipped = []struct{ Name, Package string }{
	{"operator", module},
	{"agent", module + "/cmd/drain-agent"},
	{"pkg/drain", module + "/pkg/drain"},
	{"pkg/testenv", module + "/pkg/testenv"},
}

// allowed are licences, by SPDX identifier, that ask for no more than a notice.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Zlib"}

func main() {
	out := flag.String("out", "docs/licences.md", "`file` to write")
	check := flag.Bool("check", false, "compare with the file instead of writing it")
	flag.Parse()
	if err := run(context.Background(), *out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, check bool) error {
	found, err := scan(ctx)
	if err != nil {
		return err
	}
	refused := judge(found)
	page := render(found)
	if !check {
		return errors.Join(refused, os.WriteFile(out, page, 0o644))
	}
	current, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	if !bytes.Equal(current, page) {
		return errors.Join(refused, fmt.Errorf("%s is not up to date: run 'make licences' and look at what changed", out))
	}
	return refused
}

// judge names every module with a licence that is not allowed, or none that
// could be told.
func judge(found []dependency) error {
	var errs []error
	for _, d := range found {
		if len(d.Licences) == 0 {
			errs = append(errs, fmt.Errorf("%s: no licence could be told", d.Module))
		}
		for _, licence := range d.Licences {
			if !slices.Contains(allowed, licence) {
				errs = append(errs, fmt.Errorf("%s: %s is not among those allowed (%s)", d.Module, licence, strings.Join(allowed, ", ")))
			}
		}
		for _, file := range d.Unknown {
			errs = append(errs, fmt.Errorf("%s: %s is no licence that is known, or only in part", d.Module, file))
		}
	}
	return errors.Join(errs...)
}

func render(found []dependency) []byte {
	var page bytes.Buffer
	fmt.Fprintf(&page, `# Licences of the dependencies

<!-- Written by 'make licences'. -->

Of each module that is linked into what the project ships, the licences of the packages that are linked, as
[licensecheck](https://pkg.go.dev/github.com/google/licensecheck) reads them; versions are in go.mod. The Go standard library is
BSD-3-Clause. `+"`make verify`"+` fails when this list is out of date, or when a licence is not one of %s. What tests and tools use beyond
that is not shipped, and not listed.

| module | licence |`, strings.Join(allowed, ", "))
	for _, s := range shipped {
		fmt.Fprintf(&page, " %s |", s.Name)
	}
	page.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(shipped)) + "\n")
	for _, d := range found {
		fmt.Fprintf(&page, "| %s | %s |", d.Module, strings.Join(d.Licences, ", "))
		for _, s := range shipped {
			fmt.Fprintf(&page, " %s |", map[bool]string{true: "✓"}[d.In[s.Name]])
		}
		page.WriteByte('\n')
	}
	return page.Bytes()
}
