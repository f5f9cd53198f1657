package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// KubernetesVersion is what the binaries call themselves. The module of the same
// version is pinned in hack/kubernetes/control-plane/go.mod.
const KubernetesVersion = "v1.36.3"

const containerdVersion = "v2.3.7"

// binary says how one program is built from the modules in hack/kubernetes.
type binary struct {
	name   string
	module string // folder under hack/kubernetes
	pkg    string
	tags   string
	vars   string // linker flags
}

// binaries in the order in which they are built: envtest needs the first three.
func binaries() []binary {
	kube := func(name string) binary {
		return binary{name: name, module: "control-plane", pkg: "k8s.io/kubernetes/cmd/" + name, vars: kubernetesVars()}
	}
	containerd := func(name string) binary {
		const module = "github.com/containerd/containerd/v2"
		return binary{
			name: name, module: "containerd", pkg: module + "/cmd/" + name,
			tags: "no_btrfs,no_zfs,no_devmapper",
			vars: "-X " + module + "/version.Version=" + containerdVersion,
		}
	}
	return []binary{
		kube("kube-apiserver"),
		{name: "etcd", module: "etcd", pkg: "go.etcd.io/etcd/server/v3"},
		kube("kubectl"),
		kube("kube-controller-manager"),
		kube("kube-scheduler"),
		kube("kubelet"),
		kube("kube-proxy"),
		containerd("containerd"),
		containerd("containerd-shim-runc-v2"),
		containerd("ctr"),
	}
}

var envtestBinaries = []string{"kube-apiserver", "etcd", "kubectl"}

// kubernetesVars are the linker flags without which the programs call themselves
// v0.0.0-master.
func kubernetesVars() string {
	parts := strings.Split(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X "+pkg+".gitVersion="+KubernetesVersion,
			"-X "+pkg+".gitMajor="+parts[0],
			"-X "+pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}

func (b binary) goArgs(out string) []string {
	return []string{
		"build", "-trimpath", "-buildvcs=false", "-tags=" + b.tags,
		"-ldflags=" + strings.TrimSpace("-s -w "+b.vars), "-o", out, b.pkg,
	}
}

// BinDir is the cache folder of the binaries. Its name follows from everything
// that decides what is built: the modules' files, the flags, Go and the platform.
func (c *Cluster) BinDir() (string, error) {
	h := sha256.New()
	for _, module := range []string{"control-plane", "etcd", "containerd"} {
		for _, file := range []string{"go.mod", "go.sum"} {
			data, err := os.ReadFile(filepath.Join(c.Repo, "hack", "kubernetes", module, file))
			if err != nil {
				return "", fmt.Errorf("pinned binaries: %w", err)
			}
			fmt.Fprintf(h, "%s/%s %d\n%s", module, file, len(data), data)
		}
	}
	for _, b := range binaries() {
		fmt.Fprintln(h, b.goArgs(b.name))
	}
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return filepath.Join(c.Cache, "kubernetes", hex.EncodeToString(h.Sum(nil)[:8]), "bin"), nil
}

// Build builds what is missing of the named binaries, all when none is named, and
// returns the folder they are in. Two builders wait for each other.
func (c *Cluster) Build(ctx context.Context, names ...string) (string, error) {
	dir, err := c.BinDir()
	if err != nil {
		return "", err
	}
	missing := missingBinaries(dir, names)
	if len(missing) == 0 {
		return dir, nil
	}
	unlock, err := lockBuild(ctx, dir, c)
	if err != nil {
		return "", err
	}
	defer unlock()
	missing = missingBinaries(dir, names)
	p := newProgress(c.Log)
	for i, b := range missing {
		p.step("building %s (%d/%d)…", b.name, i+1, len(missing))
		if err := c.buildOne(ctx, dir, b); err != nil {
			return "", err
		}
	}
	p.step("binaries are in %s", dir)
	return dir, nil
}

func missingBinaries(dir string, names []string) []binary {
	var missing []binary
	for _, b := range binaries() {
		if !wanted(b.name, names) {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, b.name)); err != nil {
			missing = append(missing, b)
		}
	}
	return missing
}

func wanted(name string, names []string) bool {
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return len(names) == 0
}

func lockBuild(ctx context.Context, dir string, c *Cluster) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(filepath.Dir(dir), "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cache folder: %w", err)
	}
	for said := false; ; time.Sleep(200 * time.Millisecond) {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || ctx.Err() != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", f.Name(), errors.Join(err, ctx.Err()))
		}
		if !said {
			fmt.Fprintln(c.Log, "another process builds the Kubernetes binaries; waiting for it…")
			said = true
		}
	}
}

// buildOne builds under a temporary name: a binary that is there is complete.
func (c *Cluster) buildOne(ctx context.Context, dir string, b binary) error {
	out := filepath.Join(dir, b.name)
	tmp := out + ".building"
	cmd := exec.CommandContext(ctx, "go", b.goArgs(tmp)...)
	cmd.Dir = filepath.Join(c.Repo, "hack", "kubernetes", b.module)
	// A workspace or flags meant for our own module must not change these.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", b.name, err, tail(output.Bytes(), 30))
	}
	return os.Rename(tmp, out)
}

// Assets returns a folder with kube-apiserver, etcd and kubectl for envtest:
// $KUBEBUILDER_ASSETS where it is set, or the cache, building them if need be.
func (c *Cluster) Assets(ctx context.Context) (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		return filepath.Abs(dir)
	}
	return c.Build(ctx, envtestBinaries...)
}

// tail returns the last n lines of data.
func tail(data []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return bytes.Join(lines, []byte("\n"))
}
