package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/hack/image"
)

// Load makes the images of OCI archives known to the node, each by its name and
// tag and by its name and digest, and returns them. No registry is asked for them
// as long as pods pull IfNotPresent or Never.
func (c *Cluster) Load(ctx context.Context, archives ...string) ([]image.Ref, error) {
	s, err := c.readState()
	if err != nil {
		return nil, err
	}
	if !s.alive() {
		return nil, fmt.Errorf("no cluster is up in %s", c.Dir)
	}
	return c.load(ctx, s, archives...)
}

func (c *Cluster) load(ctx context.Context, s *state, archives ...string) ([]image.Ref, error) {
	var all []image.Ref
	for _, archive := range archives {
		refs, err := image.ReadArchive(archive)
		if err != nil {
			return nil, err
		}
		if err := c.importArchive(ctx, s, archive); err != nil {
			return nil, fmt.Errorf("load %s: %w", archive, err)
		}
		for _, ref := range refs {
			if err := c.ctr(ctx, s, nil, "images", "tag", "--force", ref.Name, byDigest(ref)); err != nil {
				return nil, fmt.Errorf("load %s: %w", archive, err)
			}
			if err := c.awaitManaged(ctx, s, ref.Name, byDigest(ref)); err != nil {
				return nil, fmt.Errorf("load %s: %w", archive, err)
			}
		}
		all = append(all, refs...)
	}
	return all, nil
}

// importArchive hands the archive over as a stream: its path may be one that the
// node does not see.
func (c *Cluster) importArchive(ctx context.Context, s *state, archive string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	return c.ctr(ctx, s, f, "images", "import", "--local", "-")
}

// byDigest is the image's name with the digest in place of the tag.
func byDigest(ref image.Ref) string {
	name := ref.Name
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name + "@" + ref.Digest
}

func (c *Cluster) ctr(ctx context.Context, s *state, stdin *os.File, args ...string) error {
	_, err := c.ctrOutput(ctx, s, stdin, args...)
	return err
}

func (c *Cluster) ctrOutput(ctx context.Context, s *state, stdin *os.File, args ...string) (string, error) {
	var output bytes.Buffer
	cmd := Command{Args: append([]string{"ctr"}, args...), Stdout: &output, Stderr: &output}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	if err := c.execIn(ctx, s, cmd); err != nil {
		return "", fmt.Errorf("ctr %v: %w: %s", args, err, tail(output.Bytes(), 10))
	}
	return output.String(), nil
}

// awaitManaged waits until the kubelet's side of containerd has taken notice of
// the names: a pod that came earlier would make it look for a registry.
func (c *Cluster) awaitManaged(ctx context.Context, s *state, names ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range names {
		filter := fmt.Sprintf(`name==%q,labels."io.cri-containerd.image"==managed`, name)
		for {
			listed, err := c.ctrOutput(ctx, s, nil, "images", "list", "--quiet", filter)
			if err != nil {
				return err
			}
			if listed != "" {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// loadPauseImage builds the image of every pod's first process, and loads it as
// soon as containerd answers.
func (c *Cluster) loadPauseImage(ctx context.Context, s *state) error {
	spec := image.Spec{
		Name:       "pause",
		Binaries:   []image.Binary{{Package: "./test/cluster/cmd/pause", Path: "/pause"}},
		Entrypoint: []string{"/pause"},
		Temp:       c.Dir,
	}
	index, err := image.Build(ctx, c.Repo, spec, []string{"linux/" + runtime.GOARCH})
	if err != nil {
		return err
	}
	archive := filepath.Join(c.path("node"), "pause.tar")
	if _, err := image.WriteArchive(archive, pauseImage, index); err != nil {
		return err
	}
	if err := c.awaitComponent(ctx, s, "containerd"); err != nil {
		return err
	}
	_, err = c.load(ctx, s, archive)
	return err
}

func (c *Cluster) awaitComponent(ctx context.Context, s *state, name string) error {
	for s.alive() {
		all, _ := c.Components(ctx)
		for _, status := range all {
			if status.Name == name && status.State == "ready" {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("the node ended before %s was ready", name)
}
