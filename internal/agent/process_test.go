package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
)

// started is a hold in a process of its own.
type started struct {
	*exec.Cmd
	stderr bytes.Buffer
	read   chan error
}

// start returns once the hold listens to signals.
func start(t *testing.T, path string, s hold.Spec) *started {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	p := &started{Cmd: command(ctx, path, "wait", "--verbose", "--hold", encode(t, s)), read: make(chan error, 1)}
	pipe, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, "holding") {
		t.Fatalf("the hold began with %q, %v", line, err)
	}
	go func() {
		_, err := io.Copy(&p.stderr, lines)
		p.read <- err
	}()
	return p
}

// end waits for a hold's end and returns its exit code.
func (p *started) end(t *testing.T) int {
	t.Helper()
	if err := <-p.read; err != nil {
		t.Error(err)
	}
	if err := p.Wait(); p.ProcessState == nil {
		t.Fatal(err)
	}
	return p.ProcessState.ExitCode()
}

// terminationLog is one with something of the workload's in it.
func terminationLog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("the workload's own words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readResult(t *testing.T, path string) (hold.Result, bool) {
	t.Helper()
	message, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(message), "the workload's own words\n") {
		t.Errorf("the workload's words are gone: %q", message)
	}
	result, ok, err := hold.ParseMessage(string(message))
	if err != nil {
		t.Fatal(err)
	}
	return result, ok
}

// busyPort is a port with a request that is never answered, and connections on
// which more is sent, or nothing. All are accepted.
func busyPort(t *testing.T, more ...string) int32 {
	t.Helper()
	l, port := listen(t, "")
	accepted := make(chan struct{})
	go func() {
		var kept []net.Conn // or they would be closed when they are collected
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range kept {
					_ = c.Close()
				}
				return
			}
			kept = append(kept, conn)
			accepted <- struct{}{}
		}
	}()
	for _, text := range append([]string{"work"}, more...) {
		dialPort(t, port, text)
		<-accepted
	}
	return port
}

// These tests signal every hold that they find, so they run one by one.

func TestRelease(t *testing.T) {
	path := binary(t)
	if output, code := runAgent(t, path, "release"); code != exitError || !strings.Contains(output, "no hold is running") {
		t.Fatalf("with no hold: exit code %d, %q", code, output)
	}
	s := tcpSpec(busyPort(t), 1)
	s.TerminationLog = terminationLog(t)
	p := start(t, path, s)
	// A process that only looks alike is left alone.
	other := command(t.Context(), path, "status", "--hold", encode(t, s))
	if err := other.Run(); err != nil {
		t.Fatal(err)
	}
	if output, code := runAgent(t, path, "release"); code != exitOK || !strings.Contains(output, "released the hold of process") {
		t.Errorf("exit code %d, %q", code, output)
	}
	if code := p.end(t); code != exitSkipped {
		t.Errorf("exit code %d, want %d; %s", code, exitSkipped, p.stderr.String())
	}
	got, ok := readResult(t, s.TerminationLog)
	if !ok || got.Outcome != hold.OutcomeSkipped || got.Reason != "released by hand" || got.InFlight != 1 {
		t.Errorf("result %+v", got)
	}
}

func TestToldToEnd(t *testing.T) {
	s := tcpSpec(busyPort(t), 1)
	s.TerminationLog = terminationLog(t)
	p := start(t, binary(t), s)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(t); code != exitUnknown {
		t.Errorf("exit code %d; %s", code, p.stderr.String())
	}
}

// A kubelet that restarts runs the hook again: the bound counts from the first.
func TestReentrant(t *testing.T) {
	path := binary(t)
	s := tcpSpec(busyPort(t), 1)
	s.BoundSeconds = 4
	s.TerminationLog = terminationLog(t)
	begin := time.Now()
	first := start(t, path, s)
	time.Sleep(1500 * ms)
	second := start(t, path, s)
	if code := second.end(t); code != exitTimedOut {
		t.Errorf("exit code %d, want %d", code, exitTimedOut)
	}
	if took := time.Since(begin); took < 3900*ms || took > 4*time.Second+slack {
		t.Errorf("the second hold ended %v after the first began, want 4 s", took)
	}
	first.end(t)
}

func TestBegan(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	others := []Holding{{Age: 3 * time.Second, encoded: "a"}, {Age: 7 * time.Second, encoded: "a"}, {Age: time.Hour, encoded: "b"}}
	if got := Began(now, "a", others); got != now.Add(-7*time.Second) {
		t.Errorf("began %v before, want 7 s", now.Sub(got))
	}
	if got := Began(now, "c", others); got != now {
		t.Errorf("began %v before, want now", now.Sub(got))
	}
}

func TestParseCommandLine(t *testing.T) {
	tests := map[string]struct {
		cmdline string
		want    string
		ok      bool
	}{
		"a hold":          {"/drain-operator/drain-agent\x00wait\x00--hold\x00{}\x00", "{}", true},
		"lies elsewhere":  {"/tmp/drain-agent\x00wait\x00--hold\x00{}\x00", "{}", true},
		"verbose":         {"drain-agent\x00wait\x00--verbose\x00--hold\x00{}\x00", "{}", true},
		"another command": {"drain-agent\x00release\x00", "", false},
		"another program": {"sh\x00wait\x00--hold\x00{}\x00", "", false},
		"a kernel thread": {"", "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := parseCommandLine([]byte(tc.cmdline)); got != tc.want || ok != tc.ok {
				t.Errorf("got %q, %v", got, ok)
			}
		})
	}
}

func TestExitCodesAndTerminationLog(t *testing.T) {
	path := binary(t)
	port := serve(t, work)
	quiet := func(change func(*hold.Spec)) hold.Spec {
		s := tcpSpec(port, 1)
		s.PropagationSeconds, s.PropagationMaxSeconds = 0, 0
		s.TerminationLog = terminationLog(t)
		change(&s)
		return s
	}
	tests := map[string]struct {
		spec  hold.Spec
		code  int
		wrote bool
	}{
		"drained":                         {quiet(func(*hold.Spec) {}), exitOK, true},
		"drained, logs are the message":   {quiet(func(s *hold.Spec) { s.LogsOnError = true }), exitOK, false},
		"timed out":                       {quiet(func(s *hold.Spec) { s.ServePorts = []int32{busyPort(t)}; s.BoundSeconds = 1 }), exitTimedOut, true},
		"timed out, logs are the message": {quiet(func(s *hold.Spec) { s.ServePorts = []int32{busyPort(t)}; s.BoundSeconds, s.LogsOnError = 1, true }), exitTimedOut, true},
		"no termination log":              {quiet(func(s *hold.Spec) { s.TerminationLog += "/none" }), exitOK, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			output, code := runAgent(t, path, "wait", "--hold", encode(t, tc.spec))
			if code != tc.code {
				t.Errorf("exit code %d, want %d: %s", code, tc.code, output)
			}
			if strings.HasSuffix(tc.spec.TerminationLog, "/none") {
				return
			}
			if _, wrote := readResult(t, tc.spec.TerminationLog); wrote != tc.wrote {
				t.Errorf("wrote %v, want %v", wrote, tc.wrote)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	tests := map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":          {nil, exitUsage, "Usage:"},
		"help":             {[]string{"--help"}, exitOK, "Usage:"},
		"help of wait":     {[]string{"wait", "--help"}, exitOK, "bound"},
		"help of install":  {[]string{"install", "--help"}, exitOK, "copies"},
		"help of release":  {[]string{"release", "--help"}, exitOK, "ends the holds"},
		"help of status":   {[]string{"status", "--help"}, exitOK, "sees"},
		"version":          {[]string{"version"}, exitOK, "drain-agent"},
		"unknown command":  {[]string{"hold"}, exitUsage, "unknown command"},
		"no hold":          {[]string{"wait"}, exitError, "reading the hold"},
		"unknown setting":  {[]string{"wait", "--hold", `{"role":"Serve","more":1}`}, exitError, "unknown field"},
		"install to where": {[]string{"install"}, exitUsage, "target"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var output bytes.Buffer
			if code := Main(tc.args, &output, &output); code != tc.code || !strings.Contains(output.String(), tc.says) {
				t.Errorf("exit code %d, %q", code, output.String())
			}
		})
	}
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "drain-agent")
	for range 2 { // an init container may run again
		if err := Install(target); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(target)
	if err != nil || info.Mode() != binaryMode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := os.ReadFile(target); err != nil || !bytes.Equal(copied, self) {
		t.Errorf("the copy differs, %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := Install(filepath.Join(dir, "none", "drain-agent")); err == nil {
		t.Error("installed into a directory that does not exist")
	}
}

func TestStatus(t *testing.T) {
	path := binary(t)
	port := busyPort(t, "")
	status := serve(t, answer(bodyBusy))
	s := tcpSpec(port, 1)
	s.TCP, s.HTTP = nil, &hold.HTTP{Port: status, Path: "/", TimeoutSeconds: 1, DrainedWhen: "Body"}
	output, code := runAgent(t, path, "status", "-o", "json", "--hold", encode(t, s))
	var got Report
	if err := json.Unmarshal([]byte(output), &got); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v: %s", code, err, output)
	}
	want := Report{
		Holding: []ReportHold{}, Ports: []int32{port}, InFlight: 1,
		Connections: map[inflight.Class]int{inflight.Moving: 1, inflight.Unused: 1},
		Status:      &ReportStatus{State: "Busy", InFlight: 3, Reason: "3 in flight, 0 long-lived"},
	}
	got.Listeners, got.AcceptedEver, got.QuietSeconds, got.Rotation = nil, 0, 0, ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	// Without settings, those of the hold that runs.
	p := start(t, path, s)
	defer p.end(t)
	defer func() { _ = p.Process.Kill() }()
	output, code = runAgent(t, path, "status")
	for _, says := range []string{"for ", "in flight         1", "3 in flight, 0 long-lived"} {
		if code != exitOK || !strings.Contains(output, says) {
			t.Errorf("exit code %d, no %q in\n%s", code, says, output)
		}
	}
}

func TestReportWithoutSockets(t *testing.T) {
	var output strings.Builder
	if err := (Report{SocketsRefused: "operation not permitted"}).Table(&output); err != nil {
		t.Fatal(err)
	}
	if want := "sockets  cannot be seen: operation not permitted"; !strings.Contains(output.String(), want) {
		t.Errorf("no %q in\n%s", want, output.String())
	}
}
