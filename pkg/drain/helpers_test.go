package drain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience is how long a test waits for what must come. It is never waited for
// in full unless the test fails.
const patience = 20 * time.Second

// gate is a handler that says when a request is in it, and holds it there.
type gate struct {
	entered chan struct{}
	release chan struct{}
}

func newGate() *gate {
	return &gate{entered: make(chan struct{}, 100), release: make(chan struct{})}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.entered <- struct{}{}
	<-g.release
	_, _ = io.WriteString(w, "done")
}

// start serves a handler on an instrumented server on loopback.
func start(t *testing.T, d *Drainer, h http.Handler, change ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	d.Instrument(s.Config)
	for _, c := range change {
		c(s)
	}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// receive waits for a value.
func receive[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("unreachable")
	}
}

// settled waits until nothing is in flight, since net/http is done with a
// connection a little after its client is, and then expects a status.
func settled(t *testing.T, d *Drainer, want Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := d.Wait(ctx); err != nil {
		t.Fatalf("%v: %+v", err, d.Status())
	}
	expect(t, d, want)
}

// status reads what Status says without the ages, which are never the same.
func status(d *Drainer) Status {
	s := d.Status()
	s.OldestInFlightSeconds, s.OldestLongLivedSeconds = 0, 0
	return s
}

func expect(t *testing.T, d *Drainer, want Status) {
	t.Helper()
	want.Version = 1
	if diff := cmp.Diff(want, status(d)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

type answer struct {
	code   int
	header http.Header
	body   string
	close  bool
	err    error
}

// get sends one request and reads the answer.
func get(c *http.Client, method, url string, body io.Reader, header ...string) answer {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return answer{err: err}
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	return answer{res.StatusCode, res.Header, string(text), res.Close, err}
}

// going sends a request in the background.
func going(c *http.Client, method, url string) <-chan answer {
	ch := make(chan answer, 1)
	go func() { ch <- get(c, method, url, nil) }()
	return ch
}

func decode(t *testing.T, a answer) Status {
	t.Helper()
	var s Status
	if a.err != nil || a.code != http.StatusOK {
		t.Fatalf("answer %+v", a)
	}
	if err := json.Unmarshal([]byte(a.body), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// listen is on a loopback address of this process's own: once it is closed,
// nobody else answers there.
func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", fmt.Sprintf("127.85.%d.%d:0", os.Getpid()>>8&0xff, os.Getpid()&0xff))
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// waitForWaiters waits until so many wait for a change.
func waitForWaiters(t *testing.T, d *Drainer, n int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); d.ledger.change.waiting.Load() < n; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", d.ledger.change.waiting.Load(), n)
		}
	}
}

func tcpAddr(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8089} }
