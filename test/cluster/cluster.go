// Package cluster runs a one-node Kubernetes cluster of released components on
// this machine, for tests and for trying things out.
//
// The node is a tree of processes in Linux namespaces of their own (PID, mount,
// network, UTS and IPC), the way a container is, but without a container engine.
// Process 1 of that tree, the supervisor, is this package again. Killing it ends
// the node: the kernel then kills what else runs there and drops its mounts,
// interfaces and nftables tables. Two things outlive it, both named after the
// state directory: the cgroup tree and the directory itself.
//
// No route leads out of the node's network namespace. The one way in is a
// listener on the host's loopback address that forwards to kube-apiserver.
package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/drain-operator/drain-operator/hack/cache"
)

// Addresses inside the node's network namespace. They are the same in every
// cluster: the namespaces never meet.
const (
	NodeName      = "node-1"
	NodeIP        = "10.88.0.1"
	PodCIDR       = "10.88.0.0/16"
	ServiceCIDR   = "10.96.0.0/16"
	APIServiceIP  = "10.96.0.1"
	ClusterDomain = "cluster.local"
	apiServerPort = 6443
)

// Cluster is one cluster, up or not. Everything it does is derived from Dir, so
// clusters with different directories never touch each other.
type Cluster struct {
	// Dir is the absolute path of the state directory.
	Dir string
	// Repo is the absolute path of the repository root.
	Repo string
	// Cache is the absolute path of the folder for built binaries.
	Cache string
	// Log is where progress goes. Nil discards it.
	Log io.Writer
}

// New returns the cluster whose state directory is dir. An empty dir means
// $CLUSTER_DIR or, without that, .cluster at the repository root.
func New(dir string, log io.Writer) (*Cluster, error) {
	repo, err := repoRoot()
	if err != nil {
		return nil, err
	}
	cacheDir, err := cache.Dir()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		dir = os.Getenv("CLUSTER_DIR")
	}
	if dir == "" {
		dir = filepath.Join(repo, ".cluster")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	if log == nil {
		log = io.Discard
	}
	return &Cluster{Dir: dir, Repo: repo, Cache: cacheDir, Log: log}, nil
}

// repoRoot is the nearest folder upwards that holds hack/kubernetes.
func repoRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack", "kubernetes", "control-plane", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this inside the repository: no hack/kubernetes found upwards of the working directory")
		}
		dir = parent
	}
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// Logs is the folder with one log file per component.
func (c *Cluster) Logs() string { return c.path("logs") }

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// cgroupRoot names the cluster's cgroup in every hierarchy, with a leading slash.
func (c *Cluster) cgroupRoot() string {
	sum := sha256.Sum256([]byte(c.Dir))
	return "/drain-operator-" + hex.EncodeToString(sum[:4])
}
