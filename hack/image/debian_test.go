package image_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drain-operator/drain-operator/hack/image"
)

// unpacked lays out what a download of a package leaves behind, with files of
// this machine in it.
func unpacked(t *testing.T, packages map[string][]string) string {
	t.Helper()
	dir := t.TempDir()
	release := releaseOfThisMachine(t)
	for name, paths := range packages {
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if os.IsNotExist(err) {
				t.Skipf("%s is not where it is on Debian", path)
			}
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, release+"-"+runtime.GOARCH, name, path)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func releaseOfThisMachine(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); found {
			return name
		}
	}
	return "unknown"
}

const libraries = "/lib/x86_64-linux-gnu/"

func ofDebian(dir string, packages ...string) image.Spec {
	return image.Spec{
		Name:   "shell",
		Debian: &image.Debian{Packages: packages, Programs: []string{"/bin/dash"}, Dir: dir},
	}
}

func TestDebianProgramsComeWithTheirLibraries(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the paths below are those of amd64")
	}
	dir := unpacked(t, map[string][]string{
		"dash":  {"/bin/dash"},
		"libc6": {libraries + "libc.so.6", libraries + "ld-linux-x86-64.so.2"},
	})
	index, err := image.Build(t.Context(), ".", ofDebian(dir, "dash", "libc6"), []string{"linux/amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"bin/ 755", "bin/dash 555",
		"lib/ 755", "lib/ld-linux-x86-64.so.2 555", "lib/libc.so.6 555", // the one is linked to the other
		"lib64/ 755", "lib64/ld-linux-x86-64.so.2 555",
	}
	if diff := cmp.Diff(want, files(t, only(t, index))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDebianLibraryMissing(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the paths below are those of amd64")
	}
	dir := unpacked(t, map[string][]string{"dash": {"/bin/dash"}})
	_, err := image.Build(t.Context(), ".", ofDebian(dir, "dash"), []string{"linux/amd64"})
	if err == nil || !strings.Contains(err.Error(), "/bin/dash needs /lib64/ld-linux-x86-64.so.2: in none of "+dir) {
		t.Errorf("got %v", err)
	}
}

// only is the image of an index that has one.
func only(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%d images, %v", len(manifest.Manifests), err)
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestDebianTreesComeWholeAndWithLibraries(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the paths below are those of amd64")
	}
	dir := unpacked(t, map[string][]string{
		"dash":  {"/bin/dash"},
		"libc6": {libraries + "libc.so.6", libraries + "ld-linux-x86-64.so.2", libraries + "libm.so.6"},
	})
	tree := filepath.Join(dir, releaseOfThisMachine(t)+"-amd64", "dash")
	for path, text := range map[string]string{
		"/usr/lib/app/main.py": "x", "/usr/lib/app/tests/test.py": "x", "/usr/lib/app-data/file": "x", "/usr/lib/elsewhere": "x",
	} {
		write(t, filepath.Join(tree, path), text)
	}
	link(t, "main.py", filepath.Join(tree, "/usr/lib/app/other.py"))
	link(t, "/etc/passwd", filepath.Join(tree, "/usr/lib/app/outside.py"))
	libm := filepath.Join(dir, releaseOfThisMachine(t)+"-amd64", "libc6", libraries, "libm.so.6")
	data, err := os.ReadFile(libm)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(tree, "/usr/lib/app/native.so"), string(data))

	spec := ofDebian(dir, "dash", "libc6")
	spec.Debian.Programs, spec.Debian.Trees = nil, []string{"/usr/lib/app", "/usr/lib/elsewhere"}
	index, err := image.Build(t.Context(), ".", spec, []string{"linux/amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"lib/ 755", "lib/ld-linux-x86-64.so.2 555", "lib/libc.so.6 555", "lib64/ 755", "lib64/ld-linux-x86-64.so.2 555",
		"usr/ 755", "usr/lib/ 755", "usr/lib/app/ 755", "usr/lib/app/main.py 555", "usr/lib/app/native.so 555",
		"usr/lib/app/other.py 555", "usr/lib/elsewhere 555",
	}
	if diff := cmp.Diff(want, files(t, only(t, index))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDebianTreeMissing(t *testing.T) {
	dir := unpacked(t, map[string][]string{"dash": {"/bin/dash"}})
	spec := ofDebian(dir, "dash")
	spec.Debian.Programs, spec.Debian.Trees = nil, []string{"/usr/lib/nothing"}
	_, err := image.Build(t.Context(), ".", spec, []string{"linux/" + runtime.GOARCH})
	if err == nil || !strings.Contains(err.Error(), "/usr/lib/nothing: in none of "+dir) {
		t.Errorf("got %v", err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
