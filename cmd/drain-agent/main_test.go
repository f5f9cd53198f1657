package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	maxBinary = 10 << 20
	maxRSS    = 16 << 20
)

// allowed are the modules and packages that may be part of the agent beside
// the standard library: it runs in other people's containers.
var allowed = []string{
	"github.com/drain-operator/drain-operator/cmd/drain-agent",
	"github.com/drain-operator/drain-operator/internal/agent",
	"github.com/drain-operator/drain-operator/internal/drainstatus",
	"github.com/drain-operator/drain-operator/internal/drainstatus/dialect",
	"github.com/drain-operator/drain-operator/internal/drainstatus/metric",
	"github.com/drain-operator/drain-operator/internal/drainclient",
	"github.com/drain-operator/drain-operator/internal/hold",
	"github.com/drain-operator/drain-operator/internal/inflight",
	"github.com/drain-operator/drain-operator/internal/rotation",
	"github.com/drain-operator/drain-operator/internal/sockets",
	"github.com/drain-operator/drain-operator/internal/waiting",
	"golang.org/x/sys/unix",
	// The parser of Prometheus pages, and what it brings.
	"github.com/prometheus/common/expfmt",
	"github.com/prometheus/common/model",
	"github.com/prometheus/client_model/go",
	"github.com/munnerz/goautoneg",
	"go.yaml.in/yaml/v2",
	"google.golang.org/protobuf/...",
}

func TestImports(t *testing.T) {
	output, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(output)) {
		if !slices.ContainsFunc(allowed, func(a string) bool {
			prefix, tree := strings.CutSuffix(a, "...")
			return path == a || tree && strings.HasPrefix(path, prefix)
		}) {
			t.Errorf("%s is not to be part of the agent", path)
		}
	}
}

// build builds the agent as it is released.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drain-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return path
}

// A hold that reads the connections of a pod with a thousand of them, asks
// nobody and waits: what it weighs.
func TestWeight(t *testing.T) {
	path := build(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("binary: %.1f MB", float64(info.Size())/1e6)
	if info.Size() > maxBinary {
		t.Errorf("the binary has %d bytes, at most %d are allowed", info.Size(), maxBinary)
	}
	port := busy(t, 1000)
	cmd := exec.Command(path, "wait", "--hold", `{"role":"Serve","releaseWhen":"Drained","propagationSeconds":1,`+
		`"propagationMaxSeconds":2,"boundSeconds":4,"tcp":{"idleSeconds":1},"servePorts":[`+strconv.Itoa(port)+`],"terminationLog":""}`)
	begin := time.Now()
	output, err := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Fatalf("exit code %d, want 3 for connections in flight: %v, %s", code, err, output)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	rss, cpu := usage.Maxrss<<10, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	t.Logf("peak memory: %.1f MiB, CPU: %.1f %% of a core", float64(rss)/(1<<20), 100*cpu.Seconds()/time.Since(begin).Seconds())
	if rss > maxRSS {
		t.Errorf("peak memory of %d bytes, at most %d are allowed", rss, maxRSS)
	}
}

// busy makes n connections with a request that is never answered.
func busy(t *testing.T, n int) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	for range n {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "work"); err != nil {
			t.Fatal(err)
		}
	}
	return l.Addr().(*net.TCPAddr).Port
}
