package image

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Debian are programs of the distribution that this machine runs. Their
// packages are downloaded and unpacked, and nothing of them is installed.
type Debian struct {
	// Packages that the programs and the libraries that these need are in.
	Packages []string `json:"packages"`
	// Dependencies takes whatever the packages depend on, too, so that only
	// those need to be named that somebody wants. The unpacked packages then
	// have a file /versions.json.
	Dependencies bool `json:"dependencies,omitempty"`
	// Programs by their absolute paths.
	Programs []string `json:"programs"`
	// Trees are folders and files that are taken whole, with what is linked to
	// libraries in them and these libraries. Tests and caches are left out.
	Trees []string `json:"trees,omitempty"`
	// Dir is the folder that unpacked packages are kept in. What is there is
	// not downloaded again.
	Dir string `json:"-"`
	// Log is told of downloads.
	Log io.Writer `json:"-"`
}

// files are the programs and, in /lib and where the programs want their
// loader, what they need to run.
func (d *Debian) files(ctx context.Context, arch string) (map[string][]byte, error) {
	trees, err := d.unpacked(ctx, arch)
	if err != nil {
		return nil, err
	}
	all, err := index(trees)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, program := range d.Programs {
		if err := all.addProgram(files, program); err != nil {
			return nil, err
		}
	}
	for _, tree := range d.Trees {
		if err := all.addTree(files, tree); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// unpackedFiles are the files of packages, by their paths in these, and by
// their names alone. The first package that has one counts.
type unpackedFiles struct {
	trees          []string
	byPath, byName map[string]string
}

func index(trees []string) (*unpackedFiles, error) {
	u := &unpackedFiles{trees: trees, byPath: map[string]string{}, byName: map[string]string{}}
	for _, tree := range trees {
		err := filepath.WalkDir(tree, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			u.note(strings.TrimPrefix(file, tree), file, entry)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return u, nil
}

// note leaves out a link to an absolute path, which leads out of the tree, and
// one to a folder.
func (u *unpackedFiles) note(path, file string, entry fs.DirEntry) {
	if entry.Type()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(file)
		if err != nil || filepath.IsAbs(target) {
			return
		}
		if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
			return
		}
	}
	for key, in := range map[string]map[string]string{path: u.byPath, filepath.Base(path): u.byName} {
		if _, there := in[key]; !there {
			in[key] = file
		}
	}
}

func (u *unpackedFiles) missing() error {
	return fmt.Errorf("in none of %s", strings.Join(u.trees, ", "))
}

func (u *unpackedFiles) addProgram(files map[string][]byte, program string) error {
	from, there := u.byPath[program]
	if !there {
		return fmt.Errorf("%s: %w", program, u.missing())
	}
	return u.addWithLibraries(files, program, from)
}

// addTree adds the files at or below a path.
func (u *unpackedFiles) addTree(files map[string][]byte, tree string) error {
	found := false
	for path, from := range u.byPath {
		if path != tree && !strings.HasPrefix(path, tree+"/") {
			continue
		}
		found = true
		if isAside(path) {
			continue
		}
		if err := u.addAny(files, path, from); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("%s: %w", tree, u.missing())
	}
	return nil
}

// isAside says whether no program misses a file: tests of Python's modules,
// and the tools of those who build more of them.
func isAside(path string) bool {
	for _, part := range []string{"/test/", "/tests/", "/lib2to3/", "/idlelib/", "/ensurepip/", "/config-3"} {
		if strings.Contains(path, part) {
			return true
		}
	}
	return false
}

// addAny adds a file, with its libraries where it is linked to some.
func (u *unpackedFiles) addAny(files map[string][]byte, path, from string) error {
	if strings.HasSuffix(path, ".so") || strings.Contains(path, ".so.") {
		return u.addWithLibraries(files, path, from)
	}
	data, err := os.ReadFile(from)
	files[path] = data
	return err
}

// addWithLibraries adds the file under its path in the image, and what it is
// linked to, and so on.
func (u *unpackedFiles) addWithLibraries(files map[string][]byte, path, from string) error {
	if _, there := files[path]; there {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	files[path] = data
	needed, err := neededBy(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, library := range needed {
		from, there := u.byName[filepath.Base(library)]
		if !there {
			return fmt.Errorf("%s needs %s: %w", path, library, u.missing())
		}
		if err := u.addWithLibraries(files, library, from); err != nil {
			return err
		}
	}
	return nil
}

// neededBy are the paths at which a program or library wants what it is linked
// to: its loader, if it names one, and its libraries.
func neededBy(data []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	names, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			loader, err := io.ReadAll(p.Open())
			if err != nil {
				return nil, err
			}
			paths = append(paths, strings.TrimRight(string(loader), "\x00"))
		}
	}
	for _, name := range names {
		paths = append(paths, "/lib/"+name)
	}
	return paths, nil
}
