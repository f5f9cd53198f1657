//go:build cluster

package cluster_test

import (
	"bufio"
	"bytes"
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
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// harness is the program under test, with a state directory of its own.
type harness struct {
	program string
	dir     string
	// temp is the commands' folder for temporary files.
	temp string
	// web is the test workload, for the node.
	web string
	// held are namespaces, see pidNamespace.
	held []*os.File
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
		temp:    t.TempDir(),
	}
	if out, err := exec.Command("go", "build", "-o", h.program, "./cmd/cluster").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		_ = h.command("down").Run()
		for _, f := range h.held {
			f.Close()
		}
	})
	return h
}

func (h *harness) command(args ...string) *exec.Cmd {
	cmd := exec.Command(h.program, args...)
	cmd.Env = append(os.Environ(), "CLUSTER_DIR="+h.dir, "CLUSTER=", "TMPDIR="+h.temp)
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
		found = append(found, namesIn(t, dir)...)
	}
	return found
}

func namesIn(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		found = append(found, filepath.Join(dir, e.Name()))
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

// pidNamespace identifies the node of a supervisor. Holding the namespace keeps
// its number from being given to another; the node ends all the same.
func (h *harness) pidNamespace(t *testing.T) string {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", h.supervisor(t)))
	if err != nil {
		t.Fatal(err)
	}
	h.held = append(h.held, f)
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// processesIn lists the processes of the nodes, and those that name the state
// directory. One that has ended and waits to be collected by the host's first
// process is none any more.
func processesIn(nodes []string, dir string) []string {
	var found []string
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		stat, err := os.ReadFile(process + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			continue
		}
		command, _ := os.ReadFile(process + "/cmdline")
		namespace, _ := os.Readlink(process + "/ns/pid")
		if strings.Contains(string(command), dir) || slices.Contains(nodes, namespace) {
			found = append(found, fmt.Sprintf("%s %q", process, command))
		}
	}
	return found
}

// isCompiler says that what processesIn found is "go build".
func isCompiler(process string) bool { return strings.Contains(process, `"go\x00build\x00`) }

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

func (h *harness) assertNothingLeft(t *testing.T, before hostState, nodes ...string) {
	t.Helper()
	if left := slices.DeleteFunc(processesIn(nodes, h.dir), isCompiler); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	// A compiler that the command had started ends by itself, and cleans up.
	waitFor(t, "compilers", func() []string { return processesIn(nodes, h.dir) })
	if _, err := os.Stat(h.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state directory is still there (%v)", err)
	}
	waitFor(t, "temporary files", func() []string { return namesIn(t, h.temp) })
	if left := h.cgroups(t); len(left) > 0 {
		t.Errorf("cgroups left: %v", left)
	}
	if diff := cmp.Diff(before, observe(t)); diff != "" {
		t.Errorf("the host differs from before (-before +after):\n%s", diff)
	}
}

// moments at which a command is killed: the line of progress that it has printed.
func moments() map[string]moment {
	wait := []string{"run", "--", "sh", "-c", "echo under way; exec sleep 600"}
	return map[string]moment{
		"up, node starting":      {args: []string{"up"}, line: "starting the node"},
		"up, etcd ready":         {args: []string{"up"}, line: "etcd is ready"}, // and an image is being assembled
		"up, containerd ready":   {args: []string{"up"}, line: "containerd is ready"},
		"up, API server ready":   {args: []string{"up"}, line: "kube-apiserver is ready"},
		"up, kubelet ready":      {args: []string{"up"}, line: "kubelet is ready"},
		"up, node ready":         {args: []string{"up"}, line: "is Ready"},
		"run, API server ready":  {args: wait, line: "kube-apiserver is ready"},
		"run, command under way": {args: wait, line: "under way"},
	}
}

type moment struct {
	args []string
	line string
}

// killAt starts the command, kills it at the moment, and returns the namespace
// of the node that it had started by then, if any.
func (h *harness) killAt(t *testing.T, m moment) []string {
	t.Helper()
	cmd := h.startUntil(t, m.line, m.args...)
	var nodes []string
	if _, err := os.Stat(filepath.Join(h.dir, "state.json")); err == nil {
		nodes = append(nodes, h.pidNamespace(t))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	return nodes
}

func TestDownAfterKillAtAnyMoment(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	for name, m := range moments() {
		t.Run(name, func(t *testing.T) {
			nodes := h.killAt(t, m)
			h.must(t, "down")
			h.assertNothingLeft(t, before, nodes...)
		})
	}
}

func TestUpAfterKillAtAnyMoment(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	var nodes []string
	for name, m := range moments() {
		t.Run(name, func(t *testing.T) { nodes = append(nodes, h.killAt(t, m)...) })
	}
	h.must(t, "up")
	nodes = append(nodes, h.pidNamespace(t))
	h.must(t, "down")
	h.assertNothingLeft(t, before, nodes...)
}

// Nobody has to come and clean up after a runner that was killed.
func TestKilledRunnerTakesTheClusterWithIt(t *testing.T) {
	h := newHarness(t)
	before := observe(t)
	cmd := h.startUntil(t, "under way", "run", "--", "sh", "-c", "echo under way; exec sleep 600")
	node := h.pidNamespace(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	waitFor(t, "processes", func() []string { return processesIn([]string{node}, h.dir) })
	if err := os.Remove(filepath.Dir(h.dir)); err != nil {
		t.Errorf("the state directory is left: %v", err)
	}
	h.assertNothingLeft(t, before, node)
}

func TestSideBySide(t *testing.T) {
	a, b := newHarness(t), newHarness(t)
	before := observe(t)
	a.must(t, "up")
	b.must(t, "up")
	nodeA, nodeB := a.pidNamespace(t), b.pidNamespace(t)
	a.must(t, "down")
	b.must(t, "run", "--", "kubectl", "get", "node", "node-1")
	b.must(t, "down")
	b.assertNothingLeft(t, before, nodeA, nodeB)
}
