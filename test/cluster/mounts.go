package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelSettings are those that the kubelet wants changed on the whole machine.
// It finds these values in files mounted over the real ones, and leaves them alone.
var kernelSettings = map[string]string{
	"vm/overcommit_memory": "1",
	"vm/panic_on_oom":      "0",
	"kernel/panic":         "10",
	"kernel/panic_on_oops": "1",
}

// shadowed are the host's folders that the node has empty ones of its own for.
var shadowed = []string{"/run", "/var/lib", "/var/log"}

// mountNode turns the mount namespace, still a copy of the host's, into the
// node's: nothing spreads to the host, the file tree is read-only but for what
// must be written, and /proc and /sys show the node.
func mountNode(s *spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, dir := range s.writable() {
		if err := bind(dir, dir); err != nil {
			return err
		}
	}
	kept, err := openAll(s.Dir, s.Repo, s.Bin)
	if err != nil {
		return err
	}
	steps := []func() error{
		makeRootReadOnly,
		mountProc,
		func() error { return mountShadows(kept) },
		mountSys,
		mountKernelSettings,
		func() error { return mountData(s.Dir) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// writable are the folders of the host that the node may write to.
func (s *spec) writable() []string { return []string{s.Dir, s.Repo, "/tmp"} }

// openAll opens folders that a shadow may hide, to bring them back afterwards.
func openAll(paths ...string) ([]*os.File, error) {
	var files []*os.File
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// makeRootReadOnly leaves what was bound before as it is.
func makeRootReadOnly() error {
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make / read-only: %w", err)
	}
	return nil
}

func mountProc() error {
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

func mountShadows(kept []*os.File) error {
	for _, dir := range shadowed {
		if err := mountTmpfs(dir); err != nil {
			return err
		}
	}
	for _, f := range kept {
		if underShadow(f.Name()) {
			if err := os.MkdirAll(f.Name(), 0o755); err != nil {
				return err
			}
			if err := bind(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f.Name()); err != nil {
				return err
			}
		}
		f.Close()
	}
	return nil
}

func underShadow(path string) bool {
	for _, dir := range shadowed {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

// mountSys shows the node's network devices and the host's cgroups.
func mountSys() error {
	const tmp = "/run/sys"
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("sysfs", tmp, "sysfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount sysfs: %w", err)
	}
	if err := bind("/sys/fs/cgroup", filepath.Join(tmp, "fs/cgroup")); err != nil {
		return err
	}
	if err := unix.Mount(tmp, "/sys", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	return os.Remove(tmp)
}

func mountKernelSettings() error {
	for name, value := range kernelSettings {
		file := filepath.Join("/run/kernel", strings.ReplaceAll(name, "/", "."))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := bind(file, filepath.Join("/proc/sys", name)); err != nil {
			return err
		}
	}
	return nil
}

// mountData puts what the components store into the state directory.
func mountData(dir string) error {
	data := map[string]string{
		kubeletDir:      filepath.Join(dir, "node", "kubelet"),
		containerdDir:   filepath.Join(dir, "node", "containerd"),
		etcdDir:         filepath.Join(dir, "node", "etcd"),
		"/var/log/pods": filepath.Join(dir, "logs", "pods"),
	}
	for target, source := range data {
		for _, d := range []string{source, target} {
			if err := os.MkdirAll(d, 0o700); err != nil {
				return err
			}
		}
		if err := bind(source, target); err != nil {
			return err
		}
	}
	if canOverlay(containerdDir) {
		return nil
	}
	// An overlay of a container, for one, cannot hold another: use memory.
	fmt.Printf("%s cannot hold overlays: images go to memory\n", dir)
	return mountTmpfs(containerdDir)
}

func canOverlay(dir string) bool {
	base := filepath.Join(dir, "overlay-trial")
	defer os.RemoveAll(base)
	var dirs []string
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		d := filepath.Join(base, name)
		if os.MkdirAll(d, 0o700) != nil {
			return false
		}
		dirs = append(dirs, d)
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dirs[0], dirs[1], dirs[2])
	if unix.Mount("overlay", dirs[3], "overlay", 0, options) != nil {
		return false
	}
	return unix.Unmount(dirs[3], 0) == nil
}

func mountTmpfs(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", dir, err)
	}
	return nil
}

func bind(source, target string) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s to %s: %w", source, target, err)
	}
	return nil
}
