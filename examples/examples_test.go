// Package examples tests what the example workloads do at SIGTERM, as
// processes: the demo stands on it.
package examples

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// host is a loopback address of this process's own, so that ports are free.
var host = fmt.Sprintf("127.80.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff)

// start builds and starts a workload, and waits until it serves.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	binary := filepath.Join(t.TempDir(), name)
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, append(args, "-addr", host+":8080")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if res, err := http.Get("http://" + host + ":8080/healthz"); err == nil {
			_ = res.Body.Close()
			return cmd
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not serve", name)
		}
	}
}

func TestSIGTERMDuringARequest(t *testing.T) {
	tests := map[string]struct {
		args []string
		cut  bool
	}{
		"abrupt":   {cut: true},
		"shutdown": {},
		"sdk":      {args: []string{"-status-addr", host + ":8089"}},
		"tuned":    {args: []string{"-status-addr", host + ":8089", "-metrics-addr", host + ":9090", "-timeout", "20s"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := start(t, name, tc.args...)
			millis := 1000
			if tc.cut {
				millis = 60_000 // it must not end by itself, however late the signal is
			}
			res, err := http.Get(fmt.Sprintf("http://%s:8080/work?ms=%d&flush=1", host, millis)) // returns when the headers are here
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if cut := err != nil || !strings.Contains(string(body), `"ms":1000`); cut != tc.cut {
				t.Errorf("cut %v, want %v: %q, %v", cut, tc.cut, body, err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("exit: %v", err)
			}
		})
	}
}

// The drain as an agent sees it, before any SIGTERM.
func TestSDKDrains(t *testing.T) {
	start(t, "sdk", "-status-addr", host+":8089")
	// The server may be at the end of the answer by which it was found to serve:
	// the endpoint holds its own until nothing is in flight.
	res, err := http.Get("http://" + host + ":8089/drain-status?waitSeconds=30")
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()

	work, err := http.Get("http://" + host + ":8080/work?ms=5000&flush=1")
	if err != nil {
		t.Fatal(err)
	}
	defer work.Body.Close()

	res, err = http.Post("http://"+host+":8089/drain", "application/json", strings.NewReader(`{"draining": true}`))
	if err != nil {
		t.Fatal(err)
	}
	var now drainstatus.Status
	if err := json.NewDecoder(res.Body).Decode(&now); err != nil || !now.Draining || now.InFlight != 1 {
		t.Errorf("told to drain: %+v, %v", now, err)
	}
	_ = res.Body.Close()

	res, err = http.Get("http://" + host + ":8089/drain-status?waitSeconds=30")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got := drainstatus.EvaluateBody(drainstatus.Reply{StatusCode: res.StatusCode, Body: res.Body}, drainstatus.Exclude)
	if got.State != drainstatus.Drained {
		t.Errorf("reading %+v", got)
	}
	if body, err := io.ReadAll(work.Body); err != nil || !strings.Contains(string(body), `"ms":5000`) {
		t.Errorf("response %q, %v", body, err)
	}
}

// What the operator works the grace out from: the requests for work, and
// nothing else.
func TestTunedMeasures(t *testing.T) {
	start(t, "tuned", "-status-addr", host+":8089", "-metrics-addr", host+":9090")
	for range 3 {
		res, err := http.Get("http://" + host + ":8080/work?ms=1")
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	res, err := http.Get("http://" + host + ":9090/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`http_request_duration_seconds_bucket{route="/work",le="30"} 3`, `http_request_duration_seconds_count{route="/work"} 3`} {
		if !strings.Contains(string(page), want+"\n") {
			t.Errorf("the page lacks %s:\n%s", want, page)
		}
	}
	if n := strings.Count(string(page), "_count{"); n != 1 {
		t.Errorf("%d series are counted, want that of the work alone:\n%s", n, page)
	}
}

// A leak is there for ever, and only in a workload that was started for it.
func TestTunedLeaks(t *testing.T) {
	for name, leaky := range map[string]bool{"as it is": false, "leaky": true} {
		t.Run(name, func(t *testing.T) {
			start(t, "tuned", fmt.Sprintf("-leaky=%t", leaky), "-status-addr", host+":8089", "-metrics-addr", host+":9090")
			res, err := http.Post("http://"+host+":9090/leak", "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if (res.StatusCode == http.StatusOK) != leaky {
				t.Errorf("asked to leak: %s", res.Status)
			}
			// The request that start asked with may be counted for a moment after its answer;
			// the answer does not wait for longer than it must.
			patience := 30
			if leaky {
				patience = 2
			}
			res, err = http.Get(fmt.Sprintf("http://%s:8089/drain-status?waitSeconds=%d", host, patience))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			want := drainstatus.Drained
			if leaky {
				want = drainstatus.Busy
			}
			if got := drainstatus.EvaluateBody(drainstatus.Reply{StatusCode: res.StatusCode, Body: res.Body}, drainstatus.Exclude); got.State != want {
				t.Errorf("reading %+v, want %v", got, want)
			}
		})
	}
}
