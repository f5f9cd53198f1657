package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupMount is one hierarchy.
type cgroupMount struct {
	path string
	v2   bool
}

// cgroupMounts lists the cgroup hierarchies. Where version 1 controllers are
// mounted, a version 2 tree beside them holds none and is still listed: runtimes
// put processes there, too.
func cgroupMounts() ([]cgroupMount, error) {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mounts []cgroupMount
	seen := map[string]bool{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || (fields[2] != "cgroup" && fields[2] != "cgroup2") || seen[fields[1]] {
			continue
		}
		seen[fields[1]] = true
		mounts = append(mounts, cgroupMount{path: fields[1], v2: fields[2] == "cgroup2"})
	}
	if len(mounts) == 0 {
		return nil, errors.New("no cgroup hierarchy is mounted under /sys/fs/cgroup")
	}
	return mounts, nil
}

// makeCgroups creates root in every hierarchy: the kubelet wants to find it.
func makeCgroups(root string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		dir := filepath.Join(m.path, root)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup (is this root, on a writable cgroup tree?): %w", err)
		}
		if err := prepareCgroup(m, dir); err != nil {
			return err
		}
	}
	return nil
}

// prepareCgroup hands on what children need: the controllers in version 2, the
// CPUs and memory nodes of a cpuset in version 1, which start empty.
func prepareCgroup(m cgroupMount, dir string) error {
	if m.v2 {
		return delegateControllers(m.path, dir)
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(m.path, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
			return fmt.Errorf("prepare cgroup: %w", err)
		}
	}
	return nil
}

// delegateControllers enables in top and dir every controller that top has. One
// that cannot be enabled is left to the kubelet, which says which ones it misses.
func delegateControllers(top, dir string) error {
	available, err := os.ReadFile(filepath.Join(top, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("cgroup v2: %w", err)
	}
	for _, controller := range strings.Fields(string(available)) {
		for _, d := range []string{top, dir} {
			_ = os.WriteFile(filepath.Join(d, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
	}
	return nil
}

// removeCgroups removes root and what is below it from every hierarchy. The last
// processes may still be on their way out, so it tries for some seconds.
func removeCgroups(root string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if err := removeCgroup(filepath.Join(m.path, root), 10*time.Second); err != nil {
			return err
		}
	}
	return nil
}

func removeCgroup(dir string, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
		err := removeCgroupTree(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup: %w", err)
		}
	}
}

// removeCgroupTree removes folders only, children first: the files in a cgroup
// go with it.
func removeCgroupTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := removeCgroupTree(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return unix.Rmdir(dir)
}
