package image

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Debian are programs of the distribution that this machine runs. Their
// packages are downloaded and unpacked, and nothing of them is installed.
type Debian struct {
	// Packages that the programs and the libraries that these need are in.
	Packages []string `json:"packages"`
	// Programs by their absolute paths.
	Programs []string `json:"programs"`
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
	files := map[string][]byte{}
	for _, program := range d.Programs {
		from, err := find(trees, func(path string) bool { return path == program })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", program, err)
		}
		if err := addWithLibraries(files, program, from, trees); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// addWithLibraries adds the file under its path in the image, and what it is
// linked to, and so on.
func addWithLibraries(files map[string][]byte, path, from string, trees []string) error {
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
		from, err := find(trees, func(path string) bool { return filepath.Base(path) == filepath.Base(library) })
		if err != nil {
			return fmt.Errorf("%s needs %s: %w", path, library, err)
		}
		if err := addWithLibraries(files, library, from, trees); err != nil {
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

// find is the first file of the trees whose path in its package is accepted.
// A link to an absolute path leads out of the tree, and is none.
func find(trees []string, accept func(path string) bool) (string, error) {
	found := ""
	for _, tree := range trees {
		err := filepath.WalkDir(tree, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !accept(strings.TrimPrefix(file, tree)) {
				return err
			}
			if target, err := os.Readlink(file); err == nil && filepath.IsAbs(target) {
				return nil
			}
			found = file
			return fs.SkipAll
		})
		if err != nil || found != "" {
			return found, err
		}
	}
	return "", fmt.Errorf("in none of %s", strings.Join(trees, ", "))
}

// unpacked are the folders of the packages for a platform, as dpkg calls it.
func (d *Debian) unpacked(ctx context.Context, arch string) ([]string, error) {
	var trees []string
	for _, name := range d.Packages {
		tree := filepath.Join(d.Dir, release()+"-"+arch, name)
		if _, err := os.Stat(tree); errors.Is(err, os.ErrNotExist) {
			if err := d.download(ctx, name+":"+arch, tree); err != nil {
				return nil, fmt.Errorf("package %s: %w", name, err)
			}
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// download gets a package and unpacks it to tree: all of it, or nothing.
func (d *Debian) download(ctx context.Context, name, tree string) error {
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(tree), ".download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if d.Log != nil {
		fmt.Fprintf(d.Log, "        downloading %s, once…\n", name)
	}
	// As root apt-get fetches as a user who may not write here.
	fetch := []string{"apt-get", "download", "--quiet=2", "--option=APT::Sandbox::User=root", name}
	if err := runIn(ctx, tmp, fetch...); err != nil {
		// A machine that has just been set up knows no package.
		if err := errors.Join(runIn(ctx, tmp, "apt-get", "update", "--quiet=2"), runIn(ctx, tmp, fetch...)); err != nil {
			return err
		}
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("apt-get left %d archives: %w", len(archives), err)
	}
	unpacked := filepath.Join(tmp, "tree")
	if err := runIn(ctx, tmp, "dpkg-deb", "--extract", archives[0], unpacked); err != nil {
		return err
	}
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return err
	}
	if err := os.Rename(unpacked, tree); err != nil && !errors.Is(err, os.ErrExist) { // somebody else was faster
		return err
	}
	return nil
}

func runIn(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return nil
}

// release is the code name of the distribution, such as bookworm: packages of
// two releases do not mix.
func release() string {
	data, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(data)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); found {
			return strings.Trim(name, `"`)
		}
	}
	return "unknown"
}
