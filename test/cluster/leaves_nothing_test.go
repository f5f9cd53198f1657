//go:build cluster

package cluster_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// harness is the program under test, with a state directory of its own.
type harness struct {
	program string
	dir     string
	// web is the test workload, for the node.
	web string
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the node needs root")
	}
	// The state directory's path is longer than a socket address may be.
	h := &harness{
		program: filepath.Join(t.TempDir(), "cluster"),
		dir:     filepath.Join(t.TempDir(), strings.Repeat("long", 20), "state"),
	}
	if out, err := exec.Command("go", "build", "-o", h.program, "./cmd/cluster").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = h.command("down").Run() })
	return h
}

func (h *harness) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, args...)
	cmd.Env = append(os.Environ(), "CLUSTER_DIR="+h.dir, "CLUSTER=")
	return cmd
}

func (h *harness) must(t *testing.T, args ...string) {
	t.Helper()
	if out, err := h.command(args...).CombinedOutput(); err != nil {
		t.Fatalf("cluster %v: %v\n%s", args, err, out)
	}
}

// startUntil starts a command and returns once it has printed a line with text.
func (h *harness) startUntil(t *testing.T, text string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := h.command(args...)
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	var seen []string
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		seen = append(seen, lines.Text())
		if strings.Contains(lines.Text(), text) {
			go func() { _, _ = io.Copy(io.Discard, read) }()
			return cmd
		}
	}
	t.Fatalf("cluster %v ended without %q: %v\n%s", args, text, cmd.Wait(), strings.Join(seen, "\n"))
	return nil
}

// supervisor is the process number of the recorded supervisor.
func (h *harness) supervisor(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(h.dir, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	return state.PID
}

// hostState is what a cluster might leave on the host.
type hostState struct {
	Mounts, Interfaces, Tables, Files, Settings []string
}

func observe(t *testing.T) hostState {
	t.Helper()
	return hostState{
		Mounts:     lines(t, "/proc/self/mounts"),
		Interfaces: interfaces(t),
		Tables:     tables(t),
		Files:      hostFiles(t),
		Settings:   settings(t),
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(data)), "\n")
}

func interfaces(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprint(i.Name, addrs))
	}
	return names
}

func tables(t *testing.T) []string {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		return nil
	}
	out, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		t.Fatalf("nft: %v", err)
	}
	return strings.Split(string(out), "\n")
}

// cgroups lists the cluster's own: others may run beside this test.
func (h *harness) cgroups(t *testing.T) []string {
	t.Helper()
	sum := sha256.Sum256([]byte(h.dir))
	name := "drain-operator-" + hex.EncodeToString(sum[:4])
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/" + name); err == nil {
		found = append(found, "/sys/fs/cgroup/"+name)
	}
	return found
}

// hostFiles lists the folders that components of a node like to write to.
func hostFiles(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, dir := range []string{"/run", "/var/lib", "/var/log", "/etc", "/opt", "/usr/libexec", "/etc/cni", "/run/containerd"} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found
}

func settings(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, name := range []string{
		"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
		"net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet",
	} {
		all = append(all, name+"="+strings.Join(lines(t, "/proc/sys/"+name), ""))
	}
	return all
}

var nodeNamespaces = []string{"pid", "mnt", "net"}

// namespaces identifies the node of a supervisor by its PID, mount and network
// namespaces.
func namespaces(t *testing.T, pid int) []string {
	t.Helper()
	var all []string
	for _, name := range nodeNamespaces {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, link)
	}
	return all
}

// processesIn lists the processes that are in one of the namespaces or name the
// state directory. A process that has ended and waits to be collected by the
// host's first one is in none.
func processesIn(node []string, dir string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		stat, err := os.ReadFile(process + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			continue
		}
		command, _ := os.ReadFile(process + "/cmdline")
		if strings.Contains(string(command), dir) || inNamespaces(process, node) {
			found = append(found, fmt.Sprintf("%s %q", process, command))
		}
	}
	return found
}

func inNamespaces(process string, node []string) bool {
	for _, name := range nodeNamespaces {
		if link, err := os.Readlink(process + "/ns/" + name); err == nil && slices.Contains(node, link) {
			return true
		}
	}
	return false
}

// waitFor looks until nothing is left: the kernel ends a node a moment after its
// first process.
func waitFor(t *testing.T, what string, left func() []string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for rest := left(); len(rest) > 0; rest = left() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: still there: %v", what, rest)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func (h *harness) assertNothingLeft(t *testing.T, before hostState, node []string) {
	t.Helper()
	if left := processesIn(node, h.dir); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if _, err := os.Stat(h.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state directory is still there (%v)", err)
	}
	if left := h.cgroups(t); len(left) > 0 {
		t.Errorf("cgroups left: %v", left)
	}
	if diff := cmp.Diff(before, observe(t)); diff != "" {
		t.Errorf("the host differs from before (-before +after):\n%s", diff)
	}
}

// A cluster that was killed at any moment is no obstacle to the next, and after
// down the host is as it was.
func TestKilledAtAnyMoment(t *testing.T) {
	tests := map[string]struct {
		args []string
		kill string // the line of progress at which it is killed
	}{
		"up, node starting":      {args: []string{"up"}, kill: "starting the node"},
		"up, containerd ready":   {args: []string{"up"}, kill: "containerd is ready"},
		"up, API server ready":   {args: []string{"up"}, kill: "kube-apiserver is ready"},
		"up, kubelet ready":      {args: []string{"up"}, kill: "kubelet is ready"},
		"up, node ready":         {args: []string{"up"}, kill: "is Ready"},
		"run, API server ready":  {args: []string{"run", "--", "sleep", "600"}, kill: "kube-apiserver is ready"},
		"run, command under way": {args: []string{"run", "--", "sh", "-c", "echo under way; exec sleep 600"}, kill: "under way"},
	}
	h := newHarness(t)
	before := observe(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := h.startUntil(t, test.kill, test.args...)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			h.must(t, "up")
			node := namespaces(t, h.supervisor(t))
			h.must(t, "down")
			h.assertNothingLeft(t, before, node)
		})
	}
}

// Nobody has to come and clean up after a runner that was killed.
func TestKilledRunnerTakesTheClusterWithIt(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	cmd := h.startUntil(t, "under way", "run", "--", "sh", "-c", "echo under way; exec sleep 600")
	node := namespaces(t, h.supervisor(t))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitFor(t, "processes", func() []string { return processesIn(node, h.dir) })
	if err := os.Remove(filepath.Dir(h.dir)); err != nil {
		t.Errorf("the state directory is left: %v", err)
	}
	h.assertNothingLeft(t, before, node)
}

func TestKilledSupervisor(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	h.must(t, "up")
	node := namespaces(t, h.supervisor(t))
	if err := syscall.Kill(h.supervisor(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "processes", func() []string { return processesIn(node, h.dir) })
	h.must(t, "down")
	h.assertNothingLeft(t, before, node)
}

func TestUpTwice(t *testing.T) {
	h := newHarness(t)
	h.must(t, "up")
	first := h.supervisor(t)
	h.must(t, "up")
	if second := h.supervisor(t); second != first {
		t.Errorf("up replaced a healthy cluster: process %d, then %d", first, second)
	}
}

func TestExitCodes(t *testing.T) {
	h := newHarness(t)
	h.must(t, "up")
	for _, command := range []string{"run", "exec"} {
		err := h.command(command, "--", "sh", "-c", "exit 7").Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("cluster %s: %v, want exit code 7", command, err)
		}
	}
}

func TestSideBySide(t *testing.T) {
	a, b := newHarness(t), newHarness(t)
	before := observe(t)
	a.must(t, "up")
	b.must(t, "up")
	nodeA, nodeB := namespaces(t, a.supervisor(t)), namespaces(t, b.supervisor(t))
	a.must(t, "down")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, b.program, "help").CombinedOutput(); err == nil {
		t.Errorf("an unknown command is accepted: %s", out)
	}
	b.must(t, "run", "--", "kubectl", "get", "node", "node-1")
	b.must(t, "down")
	b.assertNothingLeft(t, before, append(nodeA, nodeB...))
}
