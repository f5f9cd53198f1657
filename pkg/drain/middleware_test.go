package drain

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestRequestsAreCounted(t *testing.T) {
	d, g := New(Options{}), newGate()
	s := start(t, d, g)
	expect(t, d, Status{})

	first := going(s.Client(), "GET", s.URL)
	receive(t, "the first request", g.entered)
	second := going(s.Client(), "POST", s.URL)
	receive(t, "the second request", g.entered)
	expect(t, d, Status{InFlight: 2})
	if age := d.Status().OldestInFlightSeconds; age <= 0 || age > patience.Seconds() {
		t.Errorf("the oldest request is %v s old", age)
	}

	close(g.release)
	for _, ch := range []<-chan answer{first, second} {
		if a := receive(t, "an answer", ch); a.err != nil || a.body != "done" || a.close {
			t.Errorf("answer %+v", a)
		}
	}
	settled(t, d, Status{})
}

func TestOldestAge(t *testing.T) {
	var l ledger
	now := time.Now()
	at := func(ago time.Duration) *request {
		q := &request{shard: l.anyShard()}
		q.shard.add(q)
		q.start = now.Add(-ago)
		l.addRequests(1)
		return q
	}
	oldest, _, youngest := at(3*time.Second), at(2*time.Second), at(time.Second)
	if got := l.status(now); got != (Status{InFlight: 3, OldestInFlightSeconds: 3}) {
		t.Errorf("three requests: %+v", got)
	}
	oldest.shard.remove(oldest)
	youngest.shard.remove(youngest)
	l.addRequests(-2)
	if got := l.status(now); got != (Status{InFlight: 1, OldestInFlightSeconds: 2}) {
		t.Errorf("one left: %+v", got)
	}
}

func TestOldestLongLivedAge(t *testing.T) {
	d := New(Options{})
	at := func(ago time.Duration) *request {
		q := d.begin(nil)
		q.start = time.Now().Add(-ago)
		return q
	}
	within := func(want time.Duration) {
		t.Helper()
		got := d.Status()
		if got.OldestLongLivedSeconds < want.Seconds() || got.OldestLongLivedSeconds > (want+patience).Seconds() {
			t.Errorf("the oldest is %v s old, want %v", got.OldestLongLivedSeconds, want)
		}
	}
	all := []*request{at(time.Hour), at(3 * time.Hour), at(2 * time.Hour)}
	if got := d.Status().OldestLongLivedSeconds; got != 0 {
		t.Errorf("none is long-lived, and the oldest is %v s old", got)
	}
	all[1].move(longLived, inFlight)
	all[0].move(longLived, inFlight)
	within(3 * time.Hour)
	all[0].move(hijacked, longLived)
	within(3 * time.Hour)
	all[1].end()
	within(time.Hour)
	all[2].end() // was never
	within(time.Hour)
	all[0].end() // its handler, which a hijacked connection outlives
	within(time.Hour)
	all[0].move(done, hijacked)
	if got := d.Status(); got.OldestLongLivedSeconds != 0 || got.LongLived != 0 {
		t.Errorf("all have ended: %+v", got)
	}
	for i := range d.ledger.shards {
		if s := &d.ledger.shards[i]; s.inFlight != (line{}) || s.longLived != (line{}) {
			t.Errorf("something is kept: %+v", s)
		}
	}
}

func TestEndOfAHandlerThatPanics(t *testing.T) {
	for name, with := range map[string]any{"an error": "broken", "ErrAbortHandler": http.ErrAbortHandler} {
		t.Run(name, func(t *testing.T) {
			d := New(Options{})
			s := start(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(with) }), quiet)
			if a := get(s.Client(), "GET", s.URL, nil); a.err == nil {
				t.Errorf("a panic was answered with %+v", a)
			}
			settled(t, d, Status{})
		})
	}
}

func TestMiddlewareTwiceCountsOnce(t *testing.T) {
	d, g := New(Options{}), newGate()
	s := httptest.NewServer(d.Middleware(d.Middleware(g)))
	defer s.Close()
	a := going(s.Client(), "GET", s.URL)
	receive(t, "the request", g.entered)
	expect(t, d, Status{InFlight: 1})
	close(g.release)
	receive(t, "the answer", a)
	settled(t, d, Status{})
}

// While draining every response closes its connection: those that begin then,
// those that were at work, and those on a connection that was idle.
func TestConnectionCloseWhileDraining(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"nothing":     func(http.ResponseWriter, *http.Request) {},
		"WriteHeader": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) },
		"Write":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) },
		"WriteString": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") },
		"Flush":       func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"controller":  func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
		"ReadFrom": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.(io.ReaderFrom).ReadFrom(strings.NewReader("x"))
		},
		"its own header": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "keep-alive") },
		"early hints": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusOK)
		},
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			d := New(Options{})
			s := start(t, d, h)
			for _, draining := range []bool{false, true, false} {
				d.SetDraining(draining) // the connection is idle, but for the first time
				if a := get(s.Client(), "GET", s.URL, nil); a.err != nil || a.close != draining {
					t.Errorf("draining %v: %+v", draining, a)
				}
			}
		})
	}
}

func TestDrainingBeginsDuringARequest(t *testing.T) {
	d, g := New(Options{}), newGate()
	s := start(t, d, g)
	a := going(s.Client(), "GET", s.URL)
	receive(t, "the request", g.entered)
	d.SetDraining(true)
	close(g.release)
	if a := receive(t, "the answer", a); !a.close || a.body != "done" {
		t.Errorf("answer %+v", a)
	}
}

func TestDrainStarted(t *testing.T) {
	d := New(Options{})
	started := d.DrainStarted()
	select {
	case <-started:
		t.Fatal("draining from the beginning")
	default:
	}
	d.SetDraining(true)
	d.SetDraining(true)
	receive(t, "the start", started)
	d.SetDraining(false)
	d.SetDraining(false)
	select {
	case <-d.DrainStarted():
		t.Fatal("draining after the end of it")
	default:
	}
	d.SetDraining(true)
	receive(t, "the second start", d.DrainStarted())
}

// The server removes the files of a form from the request that it knows, which
// is not the one that the handler sees.
func TestFormFilesAreRemoved(t *testing.T) {
	d := New(Options{})
	files := make(chan string, 1)
	s := start(t, d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1); err != nil {
			t.Error(err)
		}
		f, err := r.MultipartForm.File["f"][0].Open()
		if err != nil {
			t.Error(err)
		}
		files <- f.(*os.File).Name()
		_ = f.Close()
	}))
	t.Setenv("TMPDIR", t.TempDir())
	body := "--b\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n" + strings.Repeat("x", 11<<20) + "\r\n--b--\r\n"
	if a := get(s.Client(), "POST", s.URL, bytes.NewReader([]byte(body)), "Content-Type", "multipart/form-data; boundary=b"); a.err != nil {
		t.Fatal(a.err)
	}
	name := receive(t, "the file", files)
	settled(t, d, Status{})
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", name, err)
	}
}

// A handler finds in our writer what it finds in the server's own.
func TestOptionalInterfaces(t *testing.T) {
	type can struct{ Flush, Hijack, Push, ReadFrom, WriteString, Deadline bool }
	abilities := make(chan can, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var c can
		_, c.Flush = w.(http.Flusher)
		_, c.Hijack = w.(http.Hijacker)
		_, c.Push = w.(http.Pusher)
		_, c.ReadFrom = w.(io.ReaderFrom)
		_, c.WriteString = w.(io.StringWriter)
		c.Deadline = http.NewResponseController(w).SetReadDeadline(time.Time{}) == nil
		abilities <- c
	})
	for name, http2 := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			seen := func(h http.Handler) can {
				s := httptest.NewUnstartedServer(h)
				s.EnableHTTP2 = http2
				s.StartTLS()
				defer s.Close()
				if a := get(s.Client(), "GET", s.URL, nil); a.err != nil {
					t.Fatal(a.err)
				}
				return receive(t, "the handler", abilities)
			}
			if with, without := seen(New(Options{}).Middleware(h)), seen(h); with != without {
				t.Errorf("with %+v, without %+v", with, without)
			}
		})
	}
}
