package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// unpacked are the folders of the packages for a platform, as dpkg calls it.
func (d *Debian) unpacked(ctx context.Context, arch string) ([]string, error) {
	kept := filepath.Join(d.Dir, release()+"-"+arch)
	if d.Dependencies {
		tree := filepath.Join(kept, closureName(d.Packages))
		err := d.ensure(tree, strings.Join(d.Packages, ", ")+" and what they need", func(tmp string) error {
			return closure(ctx, d.Packages, arch, tmp)
		})
		return []string{tree}, err
	}
	var trees []string
	for _, name := range d.Packages {
		tree := filepath.Join(kept, name)
		err := d.ensure(tree, name, func(tmp string) error { return single(ctx, name+":"+arch, tmp) })
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

// closureName is the folder of packages that were unpacked with all they need:
// the more of them, the longer a plain name would be. The number is raised when
// what is done to unpacked packages changes.
func closureName(packages []string) string {
	sum := sha256.Sum256([]byte("1 " + strings.Join(slices.Sorted(slices.Values(packages)), " ")))
	return "all-" + hex.EncodeToString(sum[:6])
}

// ensure makes a tree where it is missing: all of it, or nothing. The function
// leaves it in the folder "tree" of the one that it is given.
func (d *Debian) ensure(tree, what string, unpack func(tmp string) error) error {
	if _, err := os.Stat(tree); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(tree), ".download-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if d.Log != nil {
		fmt.Fprintf(d.Log, "        downloading %s, once…\n", what)
	}
	if err := unpack(tmp); err != nil {
		return err
	}
	unpacked := filepath.Join(tmp, "tree")
	if err := os.Chmod(unpacked, 0o755); err != nil {
		return err
	}
	if err := os.Rename(unpacked, tree); err != nil && !errors.Is(err, os.ErrExist) { // somebody else was faster
		return err
	}
	return nil
}

// single downloads and unpacks one package.
func single(ctx context.Context, name, tmp string) error {
	if err := fetch(ctx, tmp, "download", name); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(archives) != 1 {
		return fmt.Errorf("apt-get left %d archives: %w", len(archives), err)
	}
	return runIn(ctx, tmp, "dpkg-deb", "--extract", archives[0], "tree")
}

// closure downloads packages and what they depend on, as if nothing were
// installed here, and unpacks them over one another.
func closure(ctx context.Context, packages []string, arch, tmp string) error {
	if err := os.MkdirAll(filepath.Join(tmp, "archives", "partial"), 0o755); err != nil {
		return err
	}
	args := []string{
		"install", "--download-only", "--no-install-recommends", "--yes",
		"--option=Dir::State::status=/dev/null", "--option=Dir::Cache::archives=" + filepath.Join(tmp, "archives"),
		"--option=Debug::NoLocking=true", "--option=APT::Architecture=" + arch,
	}
	if err := fetch(ctx, tmp, append(args, packages...)...); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(tmp, "archives", "*.deb"))
	if err != nil || len(archives) == 0 {
		return fmt.Errorf("apt-get left %d archives: %w", len(archives), err)
	}
	for _, archive := range archives {
		if err := runIn(ctx, tmp, "dpkg-deb", "--extract", archive, "tree"); err != nil {
			return err
		}
	}
	if err := writeVersions(ctx, tmp, archives); err != nil {
		return err
	}
	compilePython(ctx, filepath.Join(tmp, "tree"))
	return nil
}

// writeVersions says which packages these are.
func writeVersions(ctx context.Context, tmp string, archives []string) error {
	versions := map[string]string{}
	for _, archive := range archives {
		out, err := exec.CommandContext(ctx, "dpkg-deb", "--show", "--showformat=${Package} ${Version}", archive).Output()
		if err != nil {
			return fmt.Errorf("dpkg-deb --show %s: %w", filepath.Base(archive), err)
		}
		name, version, _ := strings.Cut(string(out), " ")
		versions[name] = version
	}
	data, err := json.MarshalIndent(versions, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tmp, "tree", "versions.json"), append(data, '\n'), 0o644)
}

// compilePython does once what Debian does when it installs, and each process
// would have to do on a file system that it may not write to. Nothing depends
// on it, and for another platform it fails.
func compilePython(ctx context.Context, tree string) {
	loaders, _ := filepath.Glob(filepath.Join(tree, "lib*", "*", "ld-linux-*.so.*"))
	libraries, _ := filepath.Glob(filepath.Join(tree, "*lib", "*-linux-gnu"))
	usr, _ := filepath.Glob(filepath.Join(tree, "usr", "lib", "*-linux-gnu"))
	interpreters, _ := filepath.Glob(filepath.Join(tree, "usr", "bin", "python3.*[0-9]"))
	if len(loaders) == 0 || len(interpreters) == 0 {
		return
	}
	modules := strings.TrimSuffix(interpreters[0], filepath.Base(interpreters[0])) + "../lib"
	cmd := exec.CommandContext(ctx, loaders[0], "--library-path", strings.Join(append(libraries, usr...), ":"), interpreters[0],
		"-m", "compileall", "-q", "-x", "/(test|tests|lib2to3)/", "--invalidation-mode", "unchecked-hash", "-s", tree, "-p", "/",
		filepath.Join(modules, filepath.Base(interpreters[0])), filepath.Join(modules, "python3"))
	cmd.Env = append(os.Environ(), "PYTHONHOME="+filepath.Join(tree, "usr"))
	_ = cmd.Run()
}

// fetch has apt-get download to the folder.
func fetch(ctx context.Context, dir string, args ...string) error {
	// As root apt-get fetches as a user who may not write here.
	args = append([]string{"apt-get", "--quiet=2", "--option=APT::Sandbox::User=root"}, args...)
	err := runIn(ctx, dir, args...)
	if err == nil {
		return nil
	}
	// A machine that has just been set up knows no package.
	return errors.Join(runIn(ctx, dir, "apt-get", "update", "--quiet=2"), runIn(ctx, dir, args...))
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
