package drain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startStatus serves the endpoints on a loopback listener of their own.
func startStatus(t *testing.T, d *Drainer) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ln, over := listen(t), make(chan error, 1)
	go func() { over <- d.ServeStatus(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "the end of the status listener", over); err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}

func TestStatusEndpoint(t *testing.T) {
	d := New(Options{})
	url := startStatus(t, d)
	end := d.Begin()
	d.SetDraining(true)
	a := get(http.DefaultClient, "GET", url+"/drain-status", nil)
	got := decode(t, a)
	got.OldestInFlightSeconds = 0
	if diff := cmp.Diff(Status{Version: 1, Draining: true, InFlight: 1}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if a.header.Get("Content-Type") != "application/json" || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("header %v", a.header)
	}
	end()
	end()
	if got := decode(t, get(http.DefaultClient, "GET", url+"/drain-status", nil)); got != (Status{Version: 1, Draining: true}) {
		t.Errorf("at the end %+v", got)
	}
}

func TestEndpointsRefuse(t *testing.T) {
	tests := map[string]struct {
		method, path, body string
		code               int
	}{
		"POST to the status":      {"POST", "/drain-status", "", 405},
		"GET of the notification": {"GET", "/drain", "", 405},
		"a wait that is none":     {"GET", "/drain-status?waitSeconds=soon", "", 400},
		"a wait in the past":      {"GET", "/drain-status?waitSeconds=-1", "", 400},
		"an empty notification":   {"POST", "/drain", "", 400},
		"a vague notification":    {"POST", "/drain", `{"drain": true}`, 400},
		"a huge notification":     {"POST", "/drain", strings.Repeat(" ", 1<<20), 413},
		"elsewhere":               {"GET", "/", "", 404},
	}
	d := New(Options{})
	url := startStatus(t, d)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if a := get(http.DefaultClient, tc.method, url+tc.path, strings.NewReader(tc.body)); a.code != tc.code {
				t.Errorf("answer %+v, want %d", a, tc.code)
			}
		})
	}
	if d.Draining() {
		t.Error("draining")
	}
}

func TestNotifyOnItsOwnListener(t *testing.T) {
	d := New(Options{Token: "secret"}) // which nobody asks for on loopback
	url := startStatus(t, d) + "/drain"
	for _, draining := range []bool{true, true, false, false, true} {
		a := get(http.DefaultClient, "POST", url, strings.NewReader(fmt.Sprintf(`{"draining": %v}`, draining)))
		if got := decode(t, a); got.Draining != draining || d.Draining() != draining {
			t.Errorf("told %v: %+v", draining, got)
		}
	}
}

func TestNotifyOnASharedPort(t *testing.T) {
	tests := map[string]struct {
		env, option string
		header      []string
		code        int
		says        string
	}{
		"the right token":            {option: "secret", header: []string{"Drain-Token", "secret"}, code: 200},
		"the token of the operator":  {env: "theirs", header: []string{"Drain-Token", "theirs"}, code: 200},
		"an option beats the env":    {env: "theirs", option: "ours", header: []string{"Drain-Token", "theirs"}, code: 403},
		"a wrong token":              {option: "secret", header: []string{"Drain-Token", "Secret"}, code: 403, says: "Drain-Token"},
		"a longer token":             {option: "secret", header: []string{"Drain-Token", "secrets"}, code: 403},
		"no token":                   {option: "secret", code: 403, says: "Drain-Token"},
		"an empty token":             {option: "secret", header: []string{"Drain-Token", ""}, code: 403},
		"none is configured":         {code: 403, says: "set DRAIN_OPERATOR_TOKEN or drain.Options.Token"},
		"none configured, none sent": {header: []string{"Drain-Token", ""}, code: 403, says: "no token is configured"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DRAIN_OPERATOR_TOKEN", tc.env)
			d := New(Options{Token: tc.option})
			s := start(t, d, d.NotifyHandler())
			a := get(s.Client(), "POST", s.URL, strings.NewReader(`{"draining": true}`), tc.header...)
			if a.code != tc.code || !strings.Contains(a.body, tc.says) {
				t.Errorf("answer %+v", a)
			}
			if want := tc.code == 200; d.Draining() != want {
				t.Errorf("draining %v, want %v", d.Draining(), want)
			}
		})
	}
}

func TestNotifyListenerThatOthersReachAsksForTheToken(t *testing.T) {
	d := New(Options{Token: "secret"})
	for address, code := range map[string]int{"127.0.0.1": 200, "127.9.9.9": 200, "::1": 200, "0.0.0.0": 403, "10.1.2.3": 403, "::": 403} {
		w := httptest.NewRecorder()
		d.notifyHandlerOn(tcpAddr(address)).ServeHTTP(w, httptest.NewRequest("POST", "/drain", strings.NewReader(`{"draining": true}`)))
		if w.Code != code {
			t.Errorf("on %s: %d, want %d", address, w.Code, code)
		}
	}
}

func TestLongPollAnswersWhenDrained(t *testing.T) {
	d := New(Options{})
	url := startStatus(t, d)
	end := d.Begin()
	a := going(http.DefaultClient, "GET", url+"/drain-status?waitSeconds=3600") // capped
	waitForWaiters(t, d, 1)
	end()
	if got := decode(t, receive(t, "the answer", a)); got != (Status{Version: 1}) {
		t.Errorf("status %+v", got)
	}
}

func TestLongPollGoesOnWhileBusyAgain(t *testing.T) {
	d := New(Options{})
	url := startStatus(t, d)
	first := d.Begin()
	a := going(http.DefaultClient, "GET", url+"/drain-status?waitSeconds=20")
	waitForWaiters(t, d, 1)
	second := d.Begin()
	first()
	select {
	case a := <-a:
		t.Fatalf("answered with one in flight: %+v", a)
	default:
	}
	second()
	if got := decode(t, receive(t, "the answer", a)); got.InFlight != 0 {
		t.Errorf("status %+v", got)
	}
}

// The wait runs out, on a port of the workload's own whose timeouts are shorter.
func TestLongPollRunsOut(t *testing.T) {
	d := New(Options{})
	s := start(t, d, d.StatusHandler(), func(s *httptest.Server) {
		// Long enough to send a request in.
		s.Config.ReadTimeout, s.Config.WriteTimeout = time.Second, time.Second
	})
	defer d.Begin()()
	asked := time.Now()
	a := get(s.Client(), "GET", s.URL+"?waitSeconds=3", nil)
	if got := decode(t, a); got.InFlight != 1 {
		t.Errorf("status %+v", got)
	}
	if took := time.Since(asked); took < 3*time.Second || took > patience {
		t.Errorf("answered after %v", took)
	}
}

// On the workload's own port the question would otherwise wait for itself, and
// two of them for each other.
func TestLongPollOnASharedPortDoesNotCountItself(t *testing.T) {
	for name, encrypted := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			d, g := New(Options{}), newGate()
			mux := http.NewServeMux()
			mux.Handle("/drain-status", d.StatusHandler())
			mux.Handle("/", g)
			s := httptest.NewUnstartedServer(mux)
			d.Instrument(s.Config)
			s.EnableHTTP2 = encrypted
			s.StartTLS()
			defer s.Close()

			work := going(s.Client(), "GET", s.URL)
			receive(t, "the request", g.entered)
			first := going(s.Client(), "GET", s.URL+"/drain-status?waitSeconds=20")
			second := going(s.Client(), "GET", s.URL+"/drain-status?waitSeconds=20")
			waitForWaiters(t, d, 2)
			if got := status(d); got.InFlight != 1 {
				t.Errorf("status %+v", got)
			}
			close(g.release)
			receive(t, "the response", work)
			for _, ch := range []<-chan answer{first, second} {
				if got := decode(t, receive(t, "an answer", ch)); got.InFlight != 0 {
					t.Errorf("status %+v", got)
				}
			}
		})
	}
}

func TestThousandsOfWaiters(t *testing.T) {
	const waiters = 5000
	d := New(Options{})
	end := d.Begin()
	answers := make(chan string, waiters)
	for range waiters {
		go func() {
			w := httptest.NewRecorder()
			d.StatusHandler().ServeHTTP(w, httptest.NewRequest("GET", "/?waitSeconds=30", nil))
			body, _ := io.ReadAll(w.Body)
			answers <- string(body)
		}()
	}
	waitForWaiters(t, d, waiters)
	end()
	for range waiters {
		if got := receive(t, "an answer", answers); !strings.Contains(got, `"inFlight":0`) {
			t.Fatalf("answer %s", got)
		}
	}
	if n := d.ledger.change.waiting.Load(); n != 0 {
		t.Errorf("%d still wait", n)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	d := New(Options{})
	defer d.Begin()()
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- d.Wait(ctx) }()
	waitForWaiters(t, d, 1)
	cancel()
	if err := receive(t, "the end of the wait", over); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}
