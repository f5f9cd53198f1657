package image

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Annotations by which an archive says what its image is called. containerd reads
// the first, others the second.
const (
	nameAnnotation = "io.containerd.image.name"
	refAnnotation  = "org.opencontainers.image.ref.name"
)

// Ref is an image in an archive.
type Ref struct {
	// Name with registry and tag, such as drain-operator.dev/drain-agent:dev.
	Name string `json:"name"`
	// Digest of the index, sha256:….
	Digest string `json:"digest"`
}

// WriteArchive writes index as an OCI archive whose image is called name. It is
// assembled beside path, so that whoever owns that folder removes what is left
// of it by an end halfway.
func WriteArchive(path, name string, index v1.ImageIndex) (Ref, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return Ref{}, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".archive-")
	if err != nil {
		return Ref{}, err
	}
	defer os.RemoveAll(dir)
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return Ref{}, fmt.Errorf("archive %s: %w", path, err)
	}
	annotations := map[string]string{nameAnnotation: name, refAnnotation: name}
	if err := l.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return Ref{}, fmt.Errorf("archive %s: %w", path, err)
	}
	digest, err := index.Digest()
	if err != nil {
		return Ref{}, err
	}
	return Ref{Name: name, Digest: digest.String()}, writeTar(path, dir)
}

// writeTar packs dir, in the order of names and without dates.
func writeTar(path, dir string) error {
	tmp := path + ".tmp"
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return addFile(w, dir, file)
	})
	if err := errors.Join(err, w.Close()); err != nil {
		return fmt.Errorf("archive %s: %w", path, err)
	}
	return os.Rename(tmp, path)
}

func addFile(w *tar.Writer, dir, file string) error {
	name, err := filepath.Rel(dir, file)
	if err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: info.Size(), ModTime: time.Unix(0, 0)}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}

// ReadArchive lists the images of an OCI archive.
func ReadArchive(path string) ([]Ref, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("%s is not an OCI archive (no index.json): %w", path, err)
		}
		if filepath.Clean(header.Name) == "index.json" {
			return readIndex(r)
		}
	}
}

func readIndex(r io.Reader) ([]Ref, error) {
	var index v1.IndexManifest
	if err := json.NewDecoder(r).Decode(&index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var refs []Ref
	for _, m := range index.Manifests {
		name := m.Annotations[nameAnnotation]
		if name == "" {
			name = m.Annotations[refAnnotation]
		}
		if name == "" {
			return nil, fmt.Errorf("index.json: %s has no name", m.Digest)
		}
		refs = append(refs, Ref{Name: name, Digest: m.Digest.String()})
	}
	return refs, nil
}
