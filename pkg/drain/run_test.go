package drain

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// running is a Serve in the background.
type running struct {
	url, statusURL string
	stop           context.CancelFunc
	over           chan error
}

func run(t *testing.T, d *Drainer, h http.Handler) running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	main, status := listen(t), listen(t)
	r := running{"http://" + main.Addr().String(), "http://" + status.Addr().String(), cancel, make(chan error, 1)}
	go func() { r.over <- d.Serve(ctx, &http.Server{Handler: h}, main, status) }()
	return r
}

func TestRunEndsGracefully(t *testing.T) {
	d, g := New(Options{}), newGate()
	r := run(t, d, g)
	a := going(http.DefaultClient, "GET", r.url)
	receive(t, "the request", g.entered)
	r.stop()
	receive(t, "the draining", d.DrainStarted())
	if got := decode(t, get(http.DefaultClient, "GET", r.statusURL+"/drain-status", nil)); !got.Draining || got.InFlight != 1 {
		t.Errorf("status %+v", got)
	}
	close(g.release)
	if a := receive(t, "the answer", a); a.err != nil || a.body != "done" || !a.close {
		t.Errorf("answer %+v", a)
	}
	if err := receive(t, "the end", r.over); err != nil {
		t.Error(err)
	}
	for _, url := range []string{r.url, r.statusURL} {
		if a := get(http.DefaultClient, "GET", url, nil); a.err == nil {
			t.Errorf("%s still answers", url)
		}
	}
}

func TestRunSaysWhatItCut(t *testing.T) {
	d, g := New(Options{ShutdownTimeout: 10 * time.Millisecond}), newGate()
	defer close(g.release)
	r := run(t, d, g)
	a := going(http.DefaultClient, "GET", r.url)
	receive(t, "the request", g.entered)
	r.stop()
	err := receive(t, "the end", r.over)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 requests in flight were cut after 10ms") {
		t.Errorf("ended with %v", err)
	}
	if a := receive(t, "the answer", a); a.err == nil {
		t.Errorf("answer %+v", a)
	}
}

func TestRunWaitsForHijackedConnections(t *testing.T) {
	tests := map[string]struct {
		timeout time.Duration
		closes  bool
	}{
		"that close":   {time.Hour, true},
		"up to a time": {10 * time.Millisecond, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := New(Options{ShutdownTimeout: tc.timeout})
			conns := make(chan net.Conn, 1)
			r := run(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
				}
				conns <- conn
			}))
			_ = going(http.DefaultClient, "GET", r.url)
			conn := receive(t, "the connection", conns)
			defer conn.Close()
			settled(t, d, Status{LongLived: 1})
			r.stop()
			if tc.closes {
				waitForWaiters(t, d, 1)
				_ = conn.Close()
			}
			if err := receive(t, "the end", r.over); err != nil {
				t.Error(err)
			}
		})
	}
}

// A long poll on the status listener does not keep the process.
func TestRunEndsUnderALongPoll(t *testing.T) {
	d, g := New(Options{ShutdownTimeout: 10 * time.Millisecond}), newGate()
	defer close(g.release)
	r := run(t, d, g)
	_ = going(http.DefaultClient, "GET", r.url)
	receive(t, "the request", g.entered)
	poll := going(http.DefaultClient, "GET", r.statusURL+"/drain-status?waitSeconds=30")
	waitForWaiters(t, d, 1)
	r.stop()
	if err := receive(t, "the end", r.over); err == nil {
		t.Error("a request was cut, and nothing said")
	}
	if a := receive(t, "the answer", poll); a.err != nil || a.code != 200 {
		t.Errorf("answer %+v", a)
	}
}

func TestRunWhereItCannotListen(t *testing.T) {
	taken := listen(t)
	defer taken.Close()
	address := taken.Addr().String()
	tests := map[string]struct {
		options Options
		addr    string
	}{
		"the main port":   {Options{SharedPort: true}, address},
		"the status port": {Options{Address: address}, "127.0.0.1:0"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			err := New(tc.options).Run(t.Context(), &http.Server{Addr: tc.addr})
			if err == nil || !strings.Contains(err.Error(), "address already in use") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

func TestRunOnASharedPort(t *testing.T) {
	d := New(Options{SharedPort: true})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Run(ctx, &http.Server{Addr: "127.0.0.1:0"}); err != nil {
		t.Error(err)
	}
	if !d.Draining() {
		t.Error("not draining")
	}
}

// Workloads take this package into their binaries: nothing but the standard
// library comes with it.
func TestNoDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/drain-operator/drain-operator/"
	want := []string{module + "internal/drainstatus", module + "pkg/drain"}
	if got := strings.Fields(string(out)); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("depends on %v, want %v", got, want)
	}
}
