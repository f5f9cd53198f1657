package image_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/drain-operator/drain-operator/hack/image"
)

var platforms = []string{"linux/amd64", "linux/arm64"}

func hello() image.Spec {
	return image.Spec{
		Name:       "hello",
		Binaries:   []image.Binary{{Package: "./testdata/hello", Path: "/opt/hello"}},
		Entrypoint: []string{"/opt/hello"},
	}
}

func build(t *testing.T, spec image.Spec) v1.ImageIndex {
	t.Helper()
	index, err := image.Build(t.Context(), ".", spec, platforms)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestSameSourceSameArchive(t *testing.T) {
	var archives [][]byte
	for _, dir := range []string{t.TempDir(), t.TempDir()} {
		path := filepath.Join(dir, "hello.tar")
		if _, err := image.WriteArchive(path, "example.test/hello:1", build(t, hello())); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		archives = append(archives, data)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two archives of the same source differ")
	}
}

// What is written, read and pushed is one and the same image.
func TestArchiveAndRegistry(t *testing.T) {
	index := build(t, hello())
	path := filepath.Join(t.TempDir(), "hello.tar")
	written, err := image.WriteArchive(path, "example.test/hello:1", index)
	if err != nil {
		t.Fatal(err)
	}
	read, err := image.ReadArchive(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]image.Ref{written}, read); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}

	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	pushed, err := image.Push(t.Context(), path, host+"/team")
	if err != nil {
		t.Fatal(err)
	}
	want := []image.Ref{{Name: host + "/team/hello:1", Digest: written.Digest}}
	if diff := cmp.Diff(want, pushed); diff != "" {
		t.Errorf("-want +pushed:\n%s", diff)
	}
	assertPulled(t, pushed[0])
}

// assertPulled looks at what a node gets to see.
func assertPulled(t *testing.T, ref image.Ref) {
	t.Helper()
	tag, err := name.NewTag(ref.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, platform := range platforms {
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			t.Fatal(err)
		}
		img, err := remote.Image(tag, remote.WithPlatform(*p))
		if err != nil {
			t.Fatal(err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		got := []string{config.OS + "/" + config.Architecture, config.Config.User, strings.Join(config.Config.Entrypoint, " ")}
		if diff := cmp.Diff([]string{platform, image.User, "/opt/hello"}, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", platform, diff)
		}
		if diff := cmp.Diff([]string{"opt/ 755", "opt/hello 555"}, files(t, img)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", platform, diff)
		}
	}
}

func files(t *testing.T, img v1.Image) []string {
	t.Helper()
	layers, err := img.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	data, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	var found []string
	for r := tar.NewReader(data); ; {
		header, err := r.Next()
		if err == io.EOF {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, fmt.Sprintf("%s %o", header.Name, header.Mode))
	}
}

func TestRefused(t *testing.T) {
	large := hello()
	large.Binaries[0].MaxBytes = 1000
	missing := hello()
	missing.Binaries[0].Package = "./testdata/none"
	tests := map[string]struct {
		spec      image.Spec
		platforms []string
		want      string
	}{
		"too large":        {spec: large, platforms: platforms, want: "at most 1000 are allowed"},
		"no such package":  {spec: missing, platforms: platforms, want: "go build ./testdata/none"},
		"no such platform": {spec: hello(), platforms: []string{"linux/amd64/v1/v2"}, want: "platform"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := image.Build(t.Context(), ".", test.spec, test.platforms)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
