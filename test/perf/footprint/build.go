package footprint

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/drain-operator/drain-operator/hack/image"
)

// agentImage is the image's name in hack/image/images.json.
const agentImage = "drain-agent"

// build assembles the agent's image for this machine and takes the binary out
// of it: the very one that pods get.
func build(ctx context.Context, module, dir string) (path string, size int64, err error) {
	spec, err := imageSpec(filepath.Join(module, "hack/image/images.json"))
	if err != nil {
		return "", 0, err
	}
	index, err := image.Build(ctx, module, spec, []string{"linux/" + runtime.GOARCH})
	if err != nil {
		return "", 0, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", 0, err
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return "", 0, err
	}
	path = filepath.Join(dir, agentImage)
	size, err = extract(img, path)
	return path, size, err
}

func imageSpec(path string) (image.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return image.Spec{}, err
	}
	var specs []image.Spec
	if err := json.Unmarshal(data, &specs); err != nil {
		return image.Spec{}, fmt.Errorf("%s: %w", path, err)
	}
	i := slices.IndexFunc(specs, func(s image.Spec) bool { return s.Name == agentImage })
	if i < 0 {
		return image.Spec{}, fmt.Errorf("%s lists no %s", path, agentImage)
	}
	return specs[i], nil
}

// extract writes the one file of an image of one layer.
func extract(img v1.Image, path string) (size int64, err error) {
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	layer, err := layers[0].Uncompressed()
	if err != nil {
		return 0, err
	}
	defer layer.Close()
	for r := tar.NewReader(layer); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return 0, errors.New("the agent's image has no file")
		}
		if err != nil {
			return 0, err
		}
		if header.Typeflag == tar.TypeReg {
			return header.Size, writeExecutable(path, r)
		}
	}
}

func writeExecutable(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}
