// Package python tests the middleware for Python as what it is to a pod: worker
// processes that are asked and notified, judged by our own reader.
package python

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const token = "of-this-pod"

// python is the interpreter, which is installed where it is missing and may be.
var python = sync.OnceValues(func() (string, error) {
	path, err := newEnough()
	if err == nil {
		return path, nil
	}
	apt, lookErr := exec.LookPath("apt-get")
	if os.Geteuid() != 0 || lookErr != nil {
		return "", fmt.Errorf("this test needs Python 3.11 or newer, install Debian's python3: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"update"}, {"install", "--yes", "--no-install-recommends", "--option=DPkg::Lock::Timeout=120", "python3"}} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("apt-get %s (install python3 by hand): %w\n%s", args[0], err, out)
		}
	}
	return newEnough()
})

// newEnough is the interpreter itself, not a wrapper that chooses one.
func newEnough() (string, error) {
	const script = `import sys; print(sys.executable); sys.exit(sys.version_info < (3, 11) and "python3 is " + sys.version)`
	out, err := exec.Command("python3", "-c", script).Output()
	if err != nil {
		var why []byte
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			why = exit.Stderr
		}
		return "", fmt.Errorf("%w: %s", err, why)
	}
	return strings.TrimSpace(string(out)), nil
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := python()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", drainstatus.TokenEnv+"="+token)
	return cmd
}

func TestModule(t *testing.T) {
	t.Parallel()
	if out, err := command(t, "-m", "unittest").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestConformance(t *testing.T) {
	for i, tc := range []struct {
		kind    string
		preload bool
	}{{"wsgi", false}, {"wsgi", true}, {"asgi", false}, {"asgi", true}} {
		t.Run(fmt.Sprintf("%s,preload=%t", tc.kind, tc.preload), func(t *testing.T) {
			t.Parallel()
			w := start(t, tc.kind, tc.preload, i)
			for _, step := range []struct {
				name string
				run  func(*testing.T, workload)
			}{
				{"a request", aRequest},
				{"the token", theToken},
				{"the notification", theNotification},
				{"an event stream", anEventStream},
				{"a failing handler", aFailure},
				{"a client that hangs up", aHangUp},
				{"a worker that dies", aDeath},
			} {
				t.Run(step.name, func(t *testing.T) { step.run(t, w) })
			}
		})
	}
}

// workload is a server with two worker processes, and its two places to ask.
type workload struct{ app, status string }

func (w workload) places() []string { return []string{w.app, w.status} }

// start starts a server on a loopback address of its own and waits until it serves.
func start(t *testing.T, kind string, preload bool, n int) workload {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 90+n, os.Getpid()>>8&0xff, os.Getpid()&0xff)
	args := []string{"testdata/host.py", kind, "--address", host + ":8080", "--status", host + ":8089", "--folder", t.TempDir(), "--workers", "2"}
	if preload {
		args = append(args, "--preload")
	}
	cmd := command(t, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its workers end with it
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s", output.Bytes())
		}
	})
	w := workload{"http://" + host + ":8080", "http://" + host + ":8089"}
	for _, place := range []string{w.app + "/healthz", w.status + "/drain-status"} {
		for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if res, err := http.Get(place); err == nil {
				_ = res.Body.Close()
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s does not serve", place)
			}
		}
	}
	return w
}

// ask reads the status on a connection of its own, so that any worker answers.
func ask(t *testing.T, place, query string) drainstatus.Reading {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, place+"/drain-status"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		return drainstatus.EvaluateBody(drainstatus.Reply{Err: err}, drainstatus.Exclude)
	}
	defer res.Body.Close()
	return drainstatus.EvaluateBody(drainstatus.Reply{StatusCode: res.StatusCode, ContentType: res.Header.Get("Content-Type"), Body: res.Body}, drainstatus.Exclude)
}

func want(t *testing.T, got drainstatus.Reading, inFlight, longLived int64) {
	t.Helper()
	expected := drainstatus.Reading{State: drainstatus.Drained, InFlight: inFlight, LongLived: longLived, Reason: fmt.Sprintf("%d in flight, %d long-lived", inFlight, longLived)}
	if inFlight > 0 {
		expected.State = drainstatus.Busy
	}
	if told := got.OldestLongLivedSeconds > 0; told != (longLived > 0) {
		t.Errorf("%d long-lived, the oldest %v s old", longLived, got.OldestLongLivedSeconds)
	}
	got.OldestLongLivedSeconds = 0
	if diff := cmp.Diff(expected, got); diff != "" {
		t.Errorf("reading (-want +got):\n%s", diff)
	}
}

// become waits until the reading is as wanted.
func become(t *testing.T, w workload, inFlight, longLived int64) {
	t.Helper()
	var got drainstatus.Reading
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = ask(t, w.status, ""); got.InFlight == inFlight && got.LongLived == longLived {
			return
		}
	}
	want(t, got, inFlight, longLived)
}

// work starts a request that ends once a file is there. It returns what is left
// of its response, and the process that is at it.
func work(t *testing.T, w workload, until string) (io.ReadCloser, int) {
	t.Helper()
	res, err := http.Get(w.app + "/work?until=" + url.QueryEscape(until))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	line, err := bufio.NewReaderSize(io.LimitReader(res.Body, 16), 16).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	return res.Body, pid
}

// aRequest counts in all workers until its response is out, and a reader that
// waits is told of it.
func aRequest(t *testing.T, w workload) {
	become(t, w, 0, 0)
	until := filepath.Join(t.TempDir(), "done")
	first, _ := work(t, w, until)
	second, _ := work(t, w, until)
	for range 3 {
		for _, place := range w.places() {
			want(t, ask(t, place, ""), 2, 0)
		}
	}
	told := make(chan drainstatus.Reading)
	for _, place := range w.places() {
		go func() { told <- ask(t, place, "?waitSeconds=30") }()
	}
	select {
	case early := <-told:
		t.Errorf("told of %+v with two in flight", early)
	case <-time.After(100 * time.Millisecond):
	}
	done(t, until)
	begun := time.Now()
	for range w.places() {
		want(t, <-told, 0, 0)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("told after %v", took)
	}
	for _, body := range []io.Reader{first, second} {
		if rest, err := io.ReadAll(body); err != nil || string(rest) != "done\n" {
			t.Errorf("the rest of the response: %q, %v", rest, err)
		}
	}
}

// done lets the work end that waits for a file.
func done(t *testing.T, until string) {
	t.Helper()
	if err := os.WriteFile(until, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func notify(t *testing.T, place, token, body string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, place+"/drain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set(drainstatus.TokenHeader, token)
	}
	res, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// theToken is asked for where others than this pod get.
func theToken(t *testing.T, w workload) {
	var got []int
	for _, attempt := range []struct{ place, token, body string }{
		{w.app, "", `{"draining": true}`},
		{w.app, "of-another-pod", `{"draining": true}`},
		{w.app, token, `{"draining": "true"}`},
		{w.app, token, `{"draining": false}`},
		{w.status, "", `{"draining": 1}`},
		{w.status, "", `{"draining": false}`},
	} {
		got = append(got, notify(t, attempt.place, attempt.token, attempt.body))
	}
	if diff := cmp.Diff([]int{403, 403, 400, 200, 400, 200}, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	saysClose(t, w, "")
}

// theNotification is sent to one worker and known to all.
func theNotification(t *testing.T, w workload) {
	for _, place := range w.places() {
		for range 2 {
			if code := notify(t, place, token, `{"draining": true}`); code != http.StatusOK {
				t.Fatalf("told to drain: %d", code)
			}
		}
		saysClose(t, w, "close")
		want(t, ask(t, place, "?waitSeconds=30"), 0, 0) // the last answer may be on its way
		if code := notify(t, place, token, `{"draining": false}`); code != http.StatusOK {
			t.Fatalf("told to stay: %d", code)
		}
		saysClose(t, w, "")
	}
}

// saysClose looks at what the responses say of their connections, often enough
// that both workers gave some.
func saysClose(t *testing.T, w workload, want string) {
	t.Helper()
	for range 8 {
		if got := connectionHeader(t, strings.TrimPrefix(w.app, "http://")); got != want {
			t.Errorf("Connection: %q, want %q", got, want)
		}
	}
}

// connectionHeader is read from the wire: net/http keeps it to itself.
func connectionHeader(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", address); err != nil {
		t.Fatal(err)
	}
	reader := textproto.NewReader(bufio.NewReader(conn))
	if line, err := reader.ReadLine(); err != nil || !strings.Contains(line, " 200 ") {
		t.Fatalf("%q, %v", line, err)
	}
	header, err := reader.ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return header.Get("Connection")
}

func anEventStream(t *testing.T, w workload) {
	res, err := http.Get(w.app + "/events")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, place := range w.places() {
		want(t, ask(t, place, "?waitSeconds=30"), 0, 1)
	}
	_ = res.Body.Close()
	become(t, w, 0, 0)
}

func aFailure(t *testing.T, w workload) {
	for range 3 {
		if res, err := http.Get(w.app + "/fail"); err == nil {
			_ = res.Body.Close()
		}
	}
	become(t, w, 0, 0)
}

func aHangUp(t *testing.T, w workload) {
	until := filepath.Join(t.TempDir(), "done")
	body, _ := work(t, w, until)
	want(t, ask(t, w.status, ""), 1, 0)
	_ = body.Close()
	done(t, until)
	become(t, w, 0, 0)
}

// aDeath leaves no count behind: the other worker answers for both.
func aDeath(t *testing.T, w workload) {
	_, pid := work(t, w, filepath.Join(t.TempDir(), "never"))
	want(t, ask(t, w.status, ""), 1, 0)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// Its listener may outlive its lock for a moment, and take questions along.
	for deadline := time.Now().Add(60 * time.Second); !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the worker does not die")
		}
	}
	become(t, w, 0, 0)
	want(t, ask(t, w.status, "?waitSeconds=30"), 0, 0)
}
