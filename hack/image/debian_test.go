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
