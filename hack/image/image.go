// Package image assembles container images of static Go binaries, and of
// programs that Debian packages, without a container engine. The same source
// gives the same digest.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// User is whom every image runs as: nobody in particular, and not root.
const User = "65532:65532"

// Binary is a Go program in an image.
type Binary struct {
	// Package is the program's package, as go build takes it.
	Package string `json:"package"`
	// Path of the program in the image, absolute.
	Path string `json:"path"`
	// MaxBytes is how large the program may get. 0 means any size.
	MaxBytes int64 `json:"maxBytes,omitempty"`
}

// Spec is an image: nothing but its programs.
type Spec struct {
	// Name of the image without registry and tag.
	Name       string   `json:"name"`
	Binaries   []Binary `json:"binaries,omitempty"`
	Debian     *Debian  `json:"debian,omitempty"`
	Entrypoint []string `json:"entrypoint,omitempty"`
	// Temp is the folder to compile in, the system's for temporary files when empty.
	Temp string `json:"-"`
}

// Build compiles the binaries of s in the module at dir for each platform, such
// as linux/amd64, and returns an index with one image per platform.
func Build(ctx context.Context, dir string, s Spec, platforms []string) (v1.ImageIndex, error) {
	c, err := Compile(ctx, dir, s, platforms)
	if err != nil {
		return nil, err
	}
	return c.Index(ctx)
}

// Compiled is an image whose binaries are compiled.
type Compiled struct {
	spec      Spec
	platforms []*v1.Platform
	// binaries by their paths, for each of the platforms.
	binaries []map[string][]byte
}

// Compile compiles the binaries of s in the module at dir for each platform,
// such as linux/amd64.
func Compile(ctx context.Context, dir string, s Spec, platforms []string) (Compiled, error) {
	c := Compiled{spec: s}
	for _, name := range platforms {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return Compiled{}, fmt.Errorf("platform %q: %w", name, err)
		}
		binaries, err := compileAll(ctx, dir, s, platform)
		if err != nil {
			return Compiled{}, fmt.Errorf("image %s for %s: %w", s.Name, name, err)
		}
		c.platforms, c.binaries = append(c.platforms, platform), append(c.binaries, binaries)
	}
	return c, nil
}

// Sum is a checksum of the specification and the compiled binaries.
func (c Compiled) Sum() ([]byte, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(c.spec); err != nil {
		return nil, err
	}
	for i, platform := range c.platforms {
		fmt.Fprintln(h, platform)
		for _, path := range slices.Sorted(maps.Keys(c.binaries[i])) {
			fmt.Fprintln(h, path, sha256.Sum256(c.binaries[i][path]))
		}
	}
	return h.Sum(nil), nil
}

// Index is an index with one image per platform.
func (c Compiled) Index(ctx context.Context) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, platform := range c.platforms {
		img, err := buildOne(ctx, c.spec, platform, c.binaries[i])
		if err != nil {
			return nil, fmt.Errorf("image %s for %s: %w", c.spec.Name, platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: platform},
		})
	}
	return index, nil
}

func buildOne(ctx context.Context, s Spec, platform *v1.Platform, binaries map[string][]byte) (v1.Image, error) {
	files := map[string][]byte{}
	if s.Debian != nil {
		var err error
		if files, err = s.Debian.files(ctx, platform.Architecture); err != nil {
			return nil, err
		}
	}
	maps.Copy(files, binaries)
	return assemble(s, platform, files)
}

func compileAll(ctx context.Context, dir string, s Spec, platform *v1.Platform) (map[string][]byte, error) {
	tmp, err := os.MkdirTemp(s.Temp, "image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	files := map[string][]byte{}
	for i, b := range s.Binaries {
		out := filepath.Join(tmp, strconv.Itoa(i))
		if err := compile(ctx, dir, b, platform, out); err != nil {
			return nil, err
		}
		if files[b.Path], err = os.ReadFile(out); err != nil {
			return nil, err
		}
		if size := int64(len(files[b.Path])); b.MaxBytes > 0 && size > b.MaxBytes {
			return nil, fmt.Errorf("%s has %d bytes, at most %d are allowed", b.Path, size, b.MaxBytes)
		}
	}
	return files, nil
}

func compile(ctx context.Context, dir string, b Binary, platform *v1.Platform, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, b.Package)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", b.Package, err, output.Bytes())
	}
	return nil
}

// assemble makes an image of one layer. Nothing in it says when or where.
func assemble(s Spec, platform *v1.Platform, files map[string][]byte) (v1.Image, error) {
	layerTar, err := layerOf(files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layerTar)), nil },
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestSpeed),
		tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = platform.OS, platform.Architecture
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{User: User, Entrypoint: s.Entrypoint}
	return mutate.ConfigFile(img, config)
}

func layerOf(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	seen := map[string]bool{".": true}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		name := strings.TrimPrefix(path, "/")
		if err := writeParents(w, name, seen); err != nil {
			return nil, err
		}
		data := files[path]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o555, Size: int64(len(data)), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func writeParents(w *tar.Writer, name string, seen map[string]bool) error {
	dir := filepath.Dir(name)
	if seen[dir] {
		return nil
	}
	seen[dir] = true
	if err := writeParents(w, dir, seen); err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
}
