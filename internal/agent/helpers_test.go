package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
)

const (
	ms = time.Millisecond
	// slack is what a busy machine may add to a time that is asserted. Less than
	// what a hold takes that does not see what it should: 10 s and more.
	slack = 6 * time.Second
	// tick is how coarse the kernel's times of a connection are.
	tick = 20 * ms
)

// listen returns a listener on a host and its port.
func listen(t *testing.T, host string) (net.Listener, int32) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, int32(l.Addr().(*net.TCPAddr).Port)
}

// serve runs an HTTP server on all addresses, and returns its port.
func serve(t *testing.T, handler http.HandlerFunc) int32 {
	t.Helper()
	l, port := listen(t, "")
	serveOn(t, l, handler)
	return port
}

// reserved is a port on which nothing listens, nor will while the test runs.
func reserved(t *testing.T) (port int32, socket *os.File) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	socket = os.NewFile(uintptr(fd), "reserved")
	t.Cleanup(func() { _ = socket.Close() })
	if err := unix.Bind(fd, &unix.SockaddrInet6{}); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return int32(address.(*unix.SockaddrInet6).Port), socket
}

func serveOn(t *testing.T, l net.Listener, handler http.HandlerFunc) {
	t.Helper()
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// spec is a hold whose rotation takes one second.
func spec(change func(*hold.Spec)) hold.Spec {
	s := hold.Spec{
		Role: hold.RoleServe, ReleaseWhen: hold.ReleaseWhenDrained,
		PropagationSeconds: 1, PropagationMaxSeconds: 1, BoundSeconds: 30,
	}
	change(&s)
	return s
}

func encode(t *testing.T, s hold.Spec) string {
	t.Helper()
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(encoded)
}

// wait runs a hold in this process.
func wait(t *testing.T, s hold.Spec) hold.Result {
	t.Helper()
	result := Wait(t.Context(), s, time.Now(), func(format string, args ...any) {
		if testing.Verbose() {
			t.Logf(format, args...)
		}
	})
	now := time.Now()
	if ago := float64(now.UnixMilli())/1000 - result.EndedUnix; ago < 0 || ago > slack.Seconds() {
		t.Errorf("at %v the hold ended %.3f s ago, it says", now, ago)
	}
	return result
}

// notBefore says whether a hold ended at a time or later.
func notBefore(t *testing.T, got hold.Result, at time.Time) {
	t.Helper()
	if early := float64(at.UnixMilli())/1000 - got.EndedUnix; early > tick.Seconds() {
		t.Errorf("the hold ended %.3f s too early", early)
	}
}

// check says whether a result is as wanted, within slack.
func check(t *testing.T, got hold.Result, outcome string, earliest, latest time.Duration) {
	t.Helper()
	held := time.Duration(got.HeldSeconds * float64(time.Second))
	if got.Outcome != outcome || held < earliest || held > latest+slack {
		t.Errorf("got %s after %v (%s), want %s after %v to %v", got.Outcome, held, got.Reason, outcome, earliest, latest)
	}
}

// binary installs the agent, which is this test binary under its name.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drain-agent")
	if err := Install(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), envMain+"=1")
	return cmd
}

// runAgent runs the agent to its end and returns its output and exit code.
func runAgent(t *testing.T, path string, args ...string) (string, int) {
	t.Helper()
	var output bytes.Buffer
	cmd := command(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return output.String(), cmd.ProcessState.ExitCode()
}

// dialPort connects to a port as a client would, and sends a text.
func dialPort(t *testing.T, port int32, text string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", net.JoinHostPort(podIP, strconv.Itoa(int(port))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}
