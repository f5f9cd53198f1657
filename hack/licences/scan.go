package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// enough is how much of a file, in percent, must be text of known licences.
// Copyright lines and titles are the rest.
const enough = 75

// dependency is a module of which something is linked.
type dependency struct {
	Module string
	// Licences by SPDX identifier, sorted.
	Licences []string
	// Unknown are files that look like a licence and are not a known one.
	Unknown []string
	// In is what it is linked into, by shipped's Name.
	In map[string]bool
}

// licenceFile is how files with licences are called. NOTICE files are none.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|unlicen[cs]e)([-._].*)?$`)

// scan looks at what is linked on Linux, sorted by module.
func scan(ctx context.Context) ([]dependency, error) {
	byModule, folders := map[string]*dependency{}, map[string]map[string]bool{}
	for _, s := range shipped {
		packages, err := linked(ctx, s.Package)
		if err != nil {
			return nil, err
		}
		for _, p := range packages {
			if byModule[p.module] == nil {
				byModule[p.module], folders[p.module] = &dependency{Module: p.module, In: map[string]bool{}}, map[string]bool{}
			}
			byModule[p.module].In[s.Name] = true
			for _, folder := range between(p.root, p.folder) {
				folders[p.module][folder] = true
			}
		}
	}
	found := make([]dependency, 0, len(byModule))
	for name, d := range byModule {
		for folder := range folders[name] {
			if err := d.read(folder); err != nil {
				return nil, err
			}
		}
		slices.Sort(d.Licences)
		slices.Sort(d.Unknown)
		d.Licences, d.Unknown = slices.Compact(d.Licences), slices.Compact(d.Unknown)
		found = append(found, *d)
	}
	slices.SortFunc(found, func(a, b dependency) int { return strings.Compare(a.Module, b.Module) })
	return found, nil
}

// linkedPackage is a package of another module: where it is, and where its module is.
type linkedPackage struct{ module, root, folder string }

func linked(ctx context.Context, of string) ([]linkedPackage, error) {
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", of)
	list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what %s links: %w", of, err)
	}
	var packages []linkedPackage
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if fields := strings.Split(lines.Text(), "\t"); len(fields) == 3 {
			packages = append(packages, linkedPackage{fields[0], fields[1], fields[2]})
		}
	}
	return packages, nil
}

// between are the folders from a module's root to a package, both included:
// code from elsewhere has its licence beside it.
func between(root, folder string) []string {
	folders := []string{folder}
	for folder != root && strings.HasPrefix(folder, root) {
		folder = filepath.Dir(folder)
		folders = append(folders, folder)
	}
	return folders
}

// read adds the licences in a folder.
func (d *dependency) read(folder string) error {
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, file := range files {
		if file.IsDir() || !licenceFile.MatchString(file.Name()) || strings.HasSuffix(file.Name(), ".go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, file.Name()))
		if err != nil {
			return err
		}
		licences, known := licencesIn(text)
		d.Licences = append(d.Licences, licences...)
		if !known {
			d.Unknown = append(d.Unknown, file.Name())
		}
	}
	return nil
}

// licencesIn names the licences of a text, and says whether they are all of it.
func licencesIn(text []byte) (licences []string, known bool) {
	coverage := licensecheck.Scan(text)
	for _, match := range coverage.Match {
		if !match.IsURL {
			licences = append(licences, match.ID)
		}
	}
	return licences, coverage.Percent >= enough
}
