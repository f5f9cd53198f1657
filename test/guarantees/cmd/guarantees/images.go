package main

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
)

// images are the references by name that `make image` wrote.
type images map[string]struct{ Name, Digest string }

func readImages(file string) (images, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("which images are there? %w", err)
	}
	var list images
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}

// reference is an image by its digest: no registry is asked for what a node
// has by its digest.
func (i images) reference(name string) (string, error) {
	image := i[name]
	if image.Name == "" || image.Digest == "" {
		return "", fmt.Errorf("there is no image %s", name)
	}
	repository := image.Name
	if at := strings.LastIndexByte(repository, ':'); at > strings.LastIndexByte(repository, '/') {
		repository = repository[:at]
	}
	return repository + "@" + image.Digest, nil
}

// maxVersions bounds the file that is read, in bytes.
const maxVersions = 1 << 20

// shown are Debian's packages whose versions matter, by the names of what they are.
var shown = map[string]string{
	"gunicorn": "Gunicorn", "python3-gevent": "gevent", "python3-uvicorn": "Uvicorn", "python3-h11": "h11", "python3-websockets": "websockets", "python3-wsproto": "wsproto",
	"python3-hypercorn": "Hypercorn", "python3.11": "Python", "nodejs": "Node.js", "nginx": "nginx", "haproxy": "HAProxy",
}

// versions are those of the servers: of Debian's packages as their image has
// them in /versions.json, and of Go.
func versions(archive string) (map[string]string, error) {
	found := map[string]string{"Go": strings.TrimPrefix(runtime.Version(), "go")}
	f, err := os.Open(archive)
	if errors.Is(err, os.ErrNotExist) {
		return found, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	for blobs := tar.NewReader(f); ; {
		_, err := blobs.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
		b, err := inLayer(blobs, "versions.json")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
		if b == nil {
			continue
		}
		var all map[string]string
		if err := json.Unmarshal(b, &all); err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
		for name, is := range shown {
			if v := all[name]; v != "" {
				found[is] = v
			}
		}
		return found, nil
	}
}

// inLayer finds a file in a layer; nil where it is not there, or where this is
// no layer.
func inLayer(blob io.Reader, name string) ([]byte, error) {
	z, err := gzip.NewReader(blob)
	if err != nil {
		return nil, nil //nolint:nilerr // a manifest, or the like
	}
	for files := tar.NewReader(z); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
		if path.Clean("/"+h.Name) == "/"+name {
			return io.ReadAll(io.LimitReader(files, maxVersions))
		}
	}
}
