package agent

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// envServer makes the test binary a server that ends softly on SIGQUIT, after
// the time in it, and at once on SIGTERM.
const envServer = "DRAIN_AGENT_TEST_SERVER"

// server is what a container's first process is in these tests.
func server(takes string) int {
	after, err := time.ParseDuration(takes)
	if err != nil {
		return 1
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGQUIT, syscall.SIGTERM)
	fmt.Println("ready")
	if <-signals == syscall.SIGTERM {
		return 3
	}
	time.Sleep(after)
	return 0
}

// process is a child that stands for process 1.
func process(t *testing.T, cmd *exec.Cmd, ready bool) *exec.Cmd {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if ready {
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil && err != io.EOF || line != "ready\n" {
			t.Fatalf("the server began with %q, %v", line, err)
		}
	}
	return cmd
}

func serverProcess(t *testing.T, takes string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envServer+"="+takes)
	return process(t, cmd, true)
}

func stopper(t *testing.T, cmd *exec.Cmd, signal string, until int32) Stopper {
	t.Helper()
	s := spec(func(s *hold.Spec) { s.Stop = &hold.Stop{Signal: signal, UntilSeconds: until} })
	return NewStopper(s, cmd.Process.Pid, t.Logf)
}

func TestStopEndsSoftly(t *testing.T) {
	t.Parallel()
	cmd := serverProcess(t, "300ms")
	s := stopper(t, cmd, "SIGQUIT", 60)
	if obstacle := s.Obstacle(); obstacle != "" {
		t.Fatalf("obstacle %s", obstacle)
	}
	begin := time.Now()
	if err := s.Stop(t.Context(), begin); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < 300*ms || took > 30*time.Second {
		t.Errorf("waited for %v", took)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server did not end softly: %v", err)
	}
}

// The wait ends when SIGTERM is due, counted from the start of the hook.
func TestStopUntil(t *testing.T) {
	t.Parallel()
	cmd := serverProcess(t, "1h")
	begin := time.Now()
	if err := stopper(t, cmd, "SIGQUIT", 2).Stop(t.Context(), begin.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < time.Second || took > 30*time.Second {
		t.Errorf("waited for %v, want 1 s", took)
	}
	if !running(cmd.Process.Pid) {
		t.Error("the server has ended")
	}
}

func TestStopIsEndedFromOutside(t *testing.T) {
	t.Parallel()
	cmd := serverProcess(t, "1h")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrReleased)
	if err := stopper(t, cmd, "SIGQUIT", 3600).Stop(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestStopOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	cmd := serverProcess(t, "0s")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := stopper(t, cmd, "SIGQUIT", 60).Stop(t.Context(), time.Now()); err == nil {
		t.Error("a signal to nobody is no error")
	}
}

func TestStopObstacle(t *testing.T) {
	t.Parallel()
	elsewhere := exec.Command("sleep", "3600")
	elsewhere.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	tests := map[string]struct {
		cmd    *exec.Cmd
		ready  bool
		signal string
		want   string
	}{
		// Go's runtime catches these three.
		"caught":         {cmd: serverProcess(t, "0s"), signal: "SIGQUIT"},
		"no such signal": {cmd: serverProcess(t, "0s"), signal: "SIGSOON", want: hold.StopNotKnown},
		"caught, winch":  {cmd: serverProcess(t, "0s"), signal: "SIGWINCH"},
		"caught by sh":   {cmd: process(t, exec.Command("sh", "-c", "trap : USR1; echo ready; sleep 3600"), true), signal: "SIGUSR1"},
		"not by sh":      {cmd: process(t, exec.Command("sh", "-c", "trap : USR1; echo ready; sleep 3600"), true), signal: "SIGQUIT", want: hold.StopNotHandled},
		"not caught":     {cmd: process(t, exec.Command("sleep", "3600"), false), signal: "SIGQUIT", want: hold.StopNotHandled},
		"another mount":  {cmd: process(t, elsewhere, false), signal: "SIGQUIT", want: hold.StopNotOurs},
		"blocked, as by an init that waits for signals": {cmd: blocking(t), signal: "SIGQUIT"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := stopper(t, tc.cmd, tc.signal, 60).Obstacle(); got != tc.want {
				t.Errorf("obstacle %q, want %q", got, tc.want)
			}
		})
	}
}

// blocking blocks SIGQUIT, which its child takes over.
func blocking(t *testing.T) *exec.Cmd {
	t.Helper()
	return process(t, exec.Command("env", "--block-signal=QUIT", "sh", "-c", "echo ready; exec sleep 3600"), true)
}

func TestStopDue(t *testing.T) {
	t.Parallel()
	cancelled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		return ctx
	}
	asked := func(s *hold.Spec) { s.Stop = &hold.Stop{Signal: "SIGQUIT"} }
	tests := map[string]struct {
		spec    func(*hold.Spec)
		ctx     context.Context
		outcome string
		want    bool
	}{
		"drained":             {asked, t.Context(), hold.OutcomeDrained, true},
		"timed out":           {asked, t.Context(), hold.OutcomeTimedOut, true},
		"status unreadable":   {asked, t.Context(), hold.OutcomeUnknown, true},
		"released by hand":    {asked, cancelled(ErrReleased), hold.OutcomeSkipped, true},
		"a dead container":    {asked, t.Context(), hold.OutcomeSkipped, false},
		"told to end":         {asked, cancelled(ErrStopped), hold.OutcomeUnknown, false},
		"no signal asked for": {func(*hold.Spec) {}, t.Context(), hold.OutcomeDrained, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := NewStopper(spec(tc.spec), firstProcess, t.Logf).Due(tc.ctx, hold.Result{Outcome: tc.outcome}); got != tc.want {
				t.Errorf("due: %v", got)
			}
		})
	}
}

// The command's process 1 is this test, in its own PID namespace.
func TestStopOfProcessOne(t *testing.T) {
	path := binary(t)
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGWINCH)
	defer signal.Stop(got)
	s := spec(func(s *hold.Spec) {
		s.TerminationLog = terminationLog(t)
		s.Stop = &hold.Stop{Signal: "SIGWINCH", UntilSeconds: 3}
	})
	begin := time.Now()
	p := start(t, path, s)
	<-got
	// What the hold came to is told before: the signal may end the agent, too.
	if result, ok := readResult(t, s.TerminationLog); !ok || result.Outcome != hold.OutcomeDrained || result.Stop != "SIGWINCH" {
		t.Errorf("result %+v", result)
	}
	if code := p.end(t); code != exitOK {
		t.Errorf("exit code %d; %s", code, p.stderr.String())
	}
	if took := time.Since(begin); took < 2900*ms || took > 30*time.Second {
		t.Errorf("SIGTERM would have followed after %v, want 3 s", took)
	}
}

// As another user than process 1 the agent says so, and lets go at once.
func TestStopIsNotAllowed(t *testing.T) {
	if unix.Getuid() != 0 || !canBecomeNobody(t) {
		t.Skip("needs a second user")
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) { // for everybody to read
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "drain-agent")
	if err := Install(path); err != nil {
		t.Fatal(err)
	}
	s := spec(func(s *hold.Spec) { s.Stop = &hold.Stop{Signal: "SIGWINCH", UntilSeconds: 3600} })
	cmd := command(t.Context(), path, "wait", "--hold", encode(t, s))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	output, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(output), `"stop":"NotAllowed"`) {
		t.Errorf("%v: %s", err, output)
	}
}

func canBecomeNobody(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return cmd.Run() == nil
}
