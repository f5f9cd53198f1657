// Command image writes the project's images as OCI archives, or pushes them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/hack/cache"
	"github.com/drain-operator/drain-operator/hack/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

type options struct {
	spec, dist, repository, tag string
	platforms, only             []string
	push                        string
}

func parse() options {
	var o options
	flag.StringVar(&o.spec, "spec", "hack/image/images.json", "`file` that lists the images")
	flag.StringVar(&o.dist, "dist", "dist", "`folder` to write to")
	flag.StringVar(&o.repository, "repository", "drain-operator.dev", "what stands before the images' names")
	flag.StringVar(&o.tag, "tag", "dev", "the images' tag")
	platforms := flag.String("platforms", "linux/amd64,linux/arm64", "comma-separated")
	flag.StringVar(&o.push, "push", "", "push to this `registry` what was written before, instead of building")
	flag.Parse()
	o.platforms, o.only = strings.Split(*platforms, ","), flag.Args()
	return o
}

func run(ctx context.Context) error {
	o := parse()
	specs, err := readSpecs(o.spec, o.only)
	if err != nil {
		return err
	}
	if o.push != "" {
		return push(ctx, o, specs)
	}
	return build(ctx, o, specs)
}

// readSpecs returns the images named in only, all of them when that is empty.
func readSpecs(path string, only []string) ([]image.Spec, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []image.Spec
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	specs := slices.DeleteFunc(slices.Clone(all), func(s image.Spec) bool {
		return len(only) > 0 && !slices.Contains(only, s.Name)
	})
	if len(specs) == 0 {
		return nil, fmt.Errorf("%s lists none of %v", path, only)
	}
	return specs, nil
}

func build(ctx context.Context, o options, specs []image.Spec) error {
	start := time.Now()
	refs, err := readRefs(o.dist)
	if err != nil {
		return err
	}
	cacheDir, err := cache.Dir()
	if err != nil {
		return err
	}
	for i, s := range specs {
		if s.Debian != nil {
			s.Debian.Dir, s.Debian.Log = filepath.Join(cacheDir, "debian"), os.Stdout
		}
		fmt.Printf("%5.1fs  image %s for %s (%d/%d)…\n", time.Since(start).Seconds(), s.Name, strings.Join(o.platforms, ", "), i+1, len(specs))
		ref, err := archive(ctx, o, s, cacheDir)
		if err != nil {
			return err
		}
		refs[s.Name] = ref
	}
	for _, s := range specs {
		fmt.Printf("%5.1fs  %s = %s@%s\n", time.Since(start).Seconds(), archivePath(o, s), refs[s.Name].Name, refs[s.Name].Digest)
	}
	return writeRefs(o.dist, refs)
}

// archive writes the archive of one image.
func archive(ctx context.Context, o options, s image.Spec, cacheDir string) (image.Ref, error) {
	path := archivePath(o, s)
	same, err := kept(cacheDir, o, s)
	if err != nil {
		return image.Ref{}, err
	}
	if same != "" {
		if ref, there := restore(same, path); there {
			return ref, nil
		}
	}
	index, err := image.Build(ctx, ".", s, o.platforms)
	if err != nil {
		return image.Ref{}, err
	}
	ref, err := image.WriteArchive(path, o.repository+"/"+s.Name+":"+o.tag, index)
	if err != nil || same == "" {
		return ref, err
	}
	return ref, keep(path, same, s)
}

func archivePath(o options, s image.Spec) string { return filepath.Join(o.dist, s.Name+".tar") }

// readRefs reads what an earlier run wrote: one that builds some of the images
// leaves the others listed.
func readRefs(dist string) (map[string]image.Ref, error) {
	refs := map[string]image.Ref{}
	data, err := os.ReadFile(filepath.Join(dist, "images.json"))
	if errors.Is(err, os.ErrNotExist) {
		return refs, nil
	}
	if err != nil {
		return nil, err
	}
	return refs, json.Unmarshal(data, &refs)
}

func writeRefs(dist string, refs map[string]image.Ref) error {
	data, err := json.MarshalIndent(refs, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dist, "images.json"), append(data, '\n'), 0o644)
}

// push replaces the names in images.json by those in the registry.
func push(ctx context.Context, o options, specs []image.Spec) error {
	refs, err := readRefs(o.dist)
	if err != nil {
		return err
	}
	for _, s := range specs {
		fmt.Printf("pushing %s to %s…\n", archivePath(o, s), o.push)
		pushed, err := image.Push(ctx, archivePath(o, s), o.push)
		if err != nil {
			return err
		}
		refs[s.Name] = pushed[0]
		fmt.Printf("%s@%s\n", pushed[0].Name, pushed[0].Digest)
	}
	return writeRefs(o.dist, refs)
}
