package agent

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// httpSpec has a timeout that only what hangs exceeds.
func httpSpec(port int32, change func(*hold.HTTP)) hold.Spec {
	return spec(func(s *hold.Spec) {
		s.ServePorts = []int32{port}
		s.HTTP = &hold.HTTP{Port: port, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 20, PeriodSeconds: 1, DrainedWhen: "Body"}
		if change != nil {
			change(s.HTTP)
		}
	})
}

const (
	bodyBusy    = `{"version":1,"inFlight":3}`
	bodyDrained = `{"version":1,"inFlight":0}`
)

// hasty is the timeout for what cannot be read: it is given up after some of them.
func hasty(h *hold.HTTP) { h.TimeoutSeconds = 1 }

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// zeros is a body that does not end soon.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHTTPStatus(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		handler  http.HandlerFunc
		change   func(*hold.HTTP)
		outcome  string
		earliest time.Duration
		latest   time.Duration
	}{
		"drained":         {answer(bodyDrained), nil, hold.OutcomeDrained, s, s},
		"garbage":         {answer("<html>"), nil, hold.OutcomeUnknown, 5 * s, 6 * s},
		"another version": {answer(`{"version":2,"inFlight":0}`), nil, hold.OutcomeUnknown, 5 * s, 6 * s},
		"hung":            {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil, hold.OutcomeUnknown, 6 * s, 12 * s},
		"1 GB": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, zeros{}, 1<<30)
		}, nil, hold.OutcomeUnknown, 5 * s, 6 * s},
		"a body that drips": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				time.Sleep(50 * ms)
			}
		}, nil, hold.OutcomeUnknown, 6 * s, 12 * s},
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/drained" {
				_, _ = io.WriteString(w, bodyDrained)
				return
			}
			http.Redirect(w, r, "/drained", http.StatusFound)
		}, nil, hold.OutcomeUnknown, 5 * s, 6 * s},
		"says it in its status code": {
			answer("fine"), func(h *hold.HTTP) { h.DrainedWhen = "StatusCode" }, hold.OutcomeDrained, s, s,
		},
		"says no in its status code": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
		}, func(h *hold.HTTP) { h.DrainedWhen = "StatusCode" }, hold.OutcomeUnknown, 5 * s, 6 * s},
		"says it in a metric": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "# TYPE busy gauge\nbusy{pool=\"a\"} 0\n")
		}, func(h *hold.HTTP) { h.DrainedWhen, h.Metric = "Metric", "busy" }, hold.OutcomeDrained, s, s},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := serve(t, tc.handler)
			sp := httpSpec(port, tc.change)
			if tc.outcome == hold.OutcomeUnknown {
				hasty(sp.HTTP)
			}
			check(t, wait(t, sp), tc.outcome, tc.earliest, tc.latest)
		})
	}
}

func TestHTTPGone(t *testing.T) {
	t.Parallel()
	port, _ := reserved(t)
	got := wait(t, httpSpec(port, hasty))
	check(t, got, hold.OutcomeUnknown, 5*time.Second, 6*time.Second)
}

func TestHTTPBusyToTheBound(t *testing.T) {
	t.Parallel()
	s := httpSpec(serve(t, answer(bodyBusy)), nil)
	s.BoundSeconds = 8
	got := wait(t, s)
	check(t, got, hold.OutcomeTimedOut, 8*time.Second, 8*time.Second)
	if got.InFlight != 3 {
		t.Errorf("%d in flight, want 3", got.InFlight)
	}
}

// Wherever the workload listens, it is found.
func TestHTTPAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", podIP, "0.0.0.0", "::"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			l, port := listen(t, host)
			serveOn(t, l, answer(bodyDrained))
			check(t, wait(t, httpSpec(port, nil)), hold.OutcomeDrained, time.Second, time.Second)
		})
	}
}

// The hold ends when an endpoint that long-polls says drained, and does not
// come back to ask in its period.
func TestLongPoll(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	end := begin.Add(4 * time.Second)
	var asked atomic.Int32
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		seconds, _ := strconv.Atoi(r.URL.Query().Get(drainstatus.WaitParameter))
		held := min(time.Until(end), time.Duration(seconds)*time.Second)
		select {
		case <-time.After(held):
		case <-r.Context().Done():
		}
		if time.Now().Before(end) {
			_, _ = io.WriteString(w, bodyBusy)
			return
		}
		_, _ = io.WriteString(w, bodyDrained)
	})
	got := wait(t, httpSpec(port, nil))
	check(t, got, hold.OutcomeDrained, time.Second, 4*time.Second)
	notBefore(t, got, end)
	t.Logf("released %v after the last response, asked %d times", time.Since(end), asked.Load())
	if asked.Load() > 4 {
		t.Errorf("asked %d times, want 4: at the beginning, once plainly, once with a wait, once to be sure", asked.Load())
	}
}

func TestWithWait(t *testing.T) {
	tests := map[string]struct {
		target    string
		wait      int
		longLived drainstatus.LongLived
		want      string
	}{
		"no wait":                    {"http://localhost:1/a?b=c", 0, drainstatus.Wait, "http://localhost:1/a?b=c"},
		"no query":                   {"http://localhost:1/a", 7, drainstatus.Exclude, "http://localhost:1/a?waitSeconds=7"},
		"a query stays":              {"http://localhost:1/a?z=%20&b", 7, "", "http://localhost:1/a?z=%20&b&waitSeconds=7"},
		"one of its own is replaced": {"http://localhost:1/a?waitSeconds=99&b=c", 7, "", "http://localhost:1/a?b=c&waitSeconds=7"},
		"for all":                    {"http://localhost:1/a", 7, drainstatus.Wait, "http://localhost:1/a?waitSeconds=7&longLived=true"},
		"for all, for some time":     {"http://localhost:1/a?b", 7, drainstatus.CloseAfter, "http://localhost:1/a?b&waitSeconds=7&longLived=true"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := withWait(tc.target, tc.wait, tc.longLived)
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

func TestNotify(t *testing.T) {
	t.Setenv(drainstatus.TokenEnv, "secret")
	type told struct{ Method, Path, Body, Token, ContentType string }
	var got atomic.Pointer[told]
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			body, _ := io.ReadAll(r.Body)
			got.Store(&told{r.Method, r.URL.Path, string(body), r.Header.Get(drainstatus.TokenHeader), r.Header.Get("Content-Type")})
		}
		if got.Load() == nil {
			_, _ = io.WriteString(w, bodyBusy)
			return
		}
		_, _ = io.WriteString(w, bodyDrained)
	})
	s := httpSpec(port, nil)
	s.Notify = &hold.Notify{Port: port, Path: "/drain"}
	check(t, wait(t, s), hold.OutcomeDrained, time.Second, time.Second)
	want := &told{"POST", "/drain", `{"draining":true}`, "secret", "application/json"}
	if diff := cmp.Diff(want, got.Load()); diff != "" {
		t.Errorf("notification (-want +got):\n%s", diff)
	}
}

// A server all of whose workers are busy is told once one of them is free.
func TestNotifyRetriesWhereNobodyAnswers(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	port := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if tries.Add(1) == 1 {
			_, _ = io.ReadAll(r.Body) // else the client's leaving is not seen
			<-r.Context().Done()
		}
	})
	if err := notify(t.Context(), newDialer(&sockets.Own{}), hold.Notify{Port: port, Path: "/drain"}, nil); err != nil {
		t.Error(err)
	}
	if n := tries.Load(); n != 2 {
		t.Errorf("told %d times, want 2", n)
	}
}

// A listener that is not up yet is told once it is. This test does not run
// beside others, whose connections may be refused, too.
func TestNotifyRetries(t *testing.T) {
	port, socket := reserved(t)
	before := refused(t)
	told := make(chan struct{}, 1)
	go func() {
		for refused(t) == before && t.Context().Err() == nil {
			time.Sleep(ms)
		}
		if err := unix.Listen(int(socket.Fd()), 16); err != nil {
			t.Error(err)
			return
		}
		l, err := net.FileListener(socket)
		if err != nil {
			t.Error(err)
			return
		}
		serveOn(t, l, func(http.ResponseWriter, *http.Request) { told <- struct{}{} })
	}()
	s := spec(func(s *hold.Spec) {
		s.Notify = &hold.Notify{Port: port, Path: "/drain"}
		s.PropagationSeconds, s.PropagationMaxSeconds = 3, 3
	})
	check(t, wait(t, s), hold.OutcomeDrained, 3*time.Second, 3*time.Second)
	select {
	case <-told:
	default:
		t.Error("was not told")
	}
}

// refused counts the connections that could not be made in this namespace.
func refused(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		t.Error(err)
	}
	var rows [][]string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "Tcp:") {
			rows = append(rows, strings.Fields(line))
		}
	}
	if len(rows) != 2 || len(rows[0]) != len(rows[1]) || !slices.Contains(rows[0], "AttemptFails") {
		t.Errorf("no count in %s", page)
		return ""
	}
	return rows[1][slices.Index(rows[0], "AttemptFails")]
}

func TestURL(t *testing.T) {
	got := dialer{host: "fd00::1:2"}.urlOf("HTTPS", "", 8443, "x?y=1")
	if _, err := url.Parse(got); err != nil || got != "https://[fd00::1:2]:8443/x?y=1" {
		t.Errorf("got %q, %v", got, err)
	}
}
