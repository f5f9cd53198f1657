package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Push sends the images of an archive to registry, such as ghcr.io/example, with
// the credentials that docker login keeps. It returns what they are called there.
func Push(ctx context.Context, archive, registry string) ([]Ref, error) {
	refs, err := ReadArchive(archive)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "push-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := extract(archive, dir); err != nil {
		return nil, err
	}
	var pushed []Ref
	for _, ref := range refs {
		target, err := pushOne(ctx, dir, ref, registry)
		if err != nil {
			return nil, fmt.Errorf("push %s: %w", ref.Name, err)
		}
		pushed = append(pushed, target)
	}
	return pushed, nil
}

func pushOne(ctx context.Context, dir string, ref Ref, registry string) (Ref, error) {
	from, err := name.NewTag(ref.Name)
	if err != nil {
		return Ref{}, err
	}
	to, err := name.NewTag(registry + "/" + filepath.Base(from.RepositoryStr()) + ":" + from.TagStr())
	if err != nil {
		return Ref{}, err
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return Ref{}, err
	}
	manifest, err := top.IndexManifest()
	if err != nil {
		return Ref{}, err
	}
	for _, m := range manifest.Manifests {
		if m.Digest.String() != ref.Digest {
			continue
		}
		index, err := top.ImageIndex(m.Digest)
		if err != nil {
			return Ref{}, err
		}
		err = remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
		return Ref{Name: to.Name(), Digest: ref.Digest}, err
	}
	return Ref{}, errors.New("not in the archive")
}

// extract unpacks an archive that this package wrote. Names that lead out of dir
// are refused by os.Root.
func extract(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if err := extractFile(root, header.Name, r); err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
	}
}

func extractFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	out, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}
