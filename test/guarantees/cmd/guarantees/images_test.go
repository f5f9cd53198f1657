package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// archived is a tar of files, by their names.
func archived(t *testing.T, names []string, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, b []byte) string {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.String()
}

// The versions stand in one of the layers, between blobs that are none.
func TestVersionsOfTheArchive(t *testing.T) {
	layer := archived(t, []string{"bin/sh", "versions.json"}, map[string]string{"bin/sh": "#", "versions.json": `{"nginx": "1.22", "libc6": "2.36"}`})
	other := archived(t, []string{"etc/passwd"}, map[string]string{"etc/passwd": "x"})
	archive := archived(t, []string{"blobs/a", "blobs/b", "blobs/c"}, map[string]string{
		"blobs/a": `{"manifest": true}`, "blobs/b": zipped(t, other), "blobs/c": zipped(t, layer),
	})
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := os.WriteFile(path, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	goVersion := strings.TrimPrefix(runtime.Version(), "go")
	for file, want := range map[string]map[string]string{
		path:              {"Go": goVersion, "nginx": "1.22"},
		path + "-missing": {"Go": goVersion},
	} {
		got, err := versions(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
	}
}
