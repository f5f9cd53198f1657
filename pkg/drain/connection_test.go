package drain

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"testing"
	"time"
)

func quiet(s *httptest.Server) { s.Config.ErrorLog = log.New(io.Discard, "", 0) }

// The last bytes of a response leave the server's buffer after the handler has
// returned: until then the request is in flight.
func TestResponseInTheBufferIsInFlight(t *testing.T) {
	d := New(Options{})
	returned := make(chan struct{})
	ln := &holding{Listener: listen(t), hold: make(chan struct{}), writing: make(chan struct{}, 1)}
	s := start(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "small enough for the buffer")
		close(returned)
	}), func(s *httptest.Server) {
		_ = s.Listener.Close()
		s.Listener = ln
	})
	a := going(s.Client(), "GET", s.URL)
	receive(t, "the end of the handler", returned)
	receive(t, "the write", ln.writing)
	if n := d.ledger.requests.Load(); n != 0 {
		t.Errorf("%d handlers at work", n)
	}
	expect(t, d, Status{InFlight: 1})
	close(ln.hold)
	if a := receive(t, "the answer", a); a.err != nil {
		t.Error(a.err)
	}
	settled(t, d, Status{})
}

// holding is a listener whose connections hold what is written to them.
type holding struct {
	net.Listener
	hold    chan struct{}
	writing chan struct{}
}

func (h *holding) Accept() (net.Conn, error) {
	c, err := h.Listener.Accept()
	return &holdingConn{c, h}, err
}

type holdingConn struct {
	net.Conn
	h *holding
}

func (c *holdingConn) Write(p []byte) (int, error) {
	c.h.writing <- struct{}{}
	<-c.h.hold
	return c.Conn.Write(p)
}

func TestIdleAndNewConnectionsAreNotInFlight(t *testing.T) {
	d := New(Options{})
	s := start(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	silent, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if a := get(s.Client(), "GET", s.URL, nil); a.err != nil {
		t.Fatal(a.err)
	}
	settled(t, d, Status{})
}

func TestConnectionsAreForgotten(t *testing.T) {
	d := New(Options{})
	s := start(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for range 10 {
		if a := get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "GET", s.URL, nil); a.err != nil {
			t.Fatal(a.err)
		}
	}
	s.Close() // returns when every connection is closed
	d.conns.Range(func(k, _ any) bool {
		t.Errorf("%v is still known", k.(net.Conn).RemoteAddr())
		return true
	})
	expect(t, d, Status{})
}

func TestHooksOfTheWorkloadGoOn(t *testing.T) {
	d := New(Options{})
	type key struct{}
	states := make(chan http.ConnState, 100)
	values := make(chan any, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		values <- r.Context().Value(key{})
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, key{}, "theirs")
	}
	d.Instrument(s.Config)
	d.Instrument(s.Config)
	s.Start()
	defer s.Close()
	if a := get(s.Client(), "GET", s.URL, nil); a.err != nil {
		t.Fatal(a.err)
	}
	if v := receive(t, "the value", values); v != "theirs" {
		t.Errorf("their ConnContext gave %v", v)
	}
	if state := receive(t, "a state", states); state != http.StateNew {
		t.Errorf("their ConnState saw %v first", state)
	}
	settled(t, d, Status{})
}

// A WebSocket or the like: in flight until it is taken over, long-lived until
// it is closed, however long its handler runs.
func TestHijackedConnection(t *testing.T) {
	d := New(Options{})
	conns := make(chan net.Conn, 1)
	s := start(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = buffer.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = buffer.Flush()
		conns <- conn
	}))
	client, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, _ = fmt.Fprint(client, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	if line, err := bufio.NewReader(client).ReadString('\n'); err != nil || line != "HTTP/1.1 101 Switching Protocols\r\n" {
		t.Fatalf("answer %q, %v", line, err)
	}
	conn := receive(t, "the connection", conns)
	settled(t, d, Status{LongLived: 1})
	if _, ok := conn.(interface{ CloseWrite() error }); !ok {
		t.Errorf("%T lost CloseWrite", conn)
	}
	_ = conn.Close()
	_ = conn.Close()
	expect(t, d, Status{})
}

// A reverse proxy answers 101 through the writer before it hijacks: its own
// Connection header stays, also while draining.
func TestUpgradeWhileDraining(t *testing.T) {
	d := New(Options{})
	d.SetDraining(true)
	closed := make(chan error, 1)
	s := start(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "echo")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		closed <- conn.Close()
	}))
	a := get(s.Client(), "GET", s.URL, nil, "Connection", "Upgrade", "Upgrade", "echo")
	if a.err != nil || a.code != 101 || a.header.Get("Connection") != "Upgrade" {
		t.Errorf("answer %+v", a)
	}
	if err := receive(t, "the end of the connection", closed); err != nil {
		t.Error(err)
	}
	settled(t, d, Status{Draining: true})
}

func TestLongLived(t *testing.T) {
	d := New(Options{})
	entered, release := make(chan bool, 2), make(chan struct{})
	s := start(t, d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		first := LongLived(r)
		entered <- first && !LongLived(r)
		<-release
	}))
	a := going(s.Client(), "GET", s.URL)
	if !receive(t, "the request", entered) {
		t.Error("LongLived must say true, then false")
	}
	expect(t, d, Status{LongLived: 1})
	close(release)
	receive(t, "the answer", a)
	settled(t, d, Status{})
	if LongLived(httptest.NewRequest("GET", "/", nil)) {
		t.Error("a request that nobody counts")
	}
}

// The next request on the connection of an event stream counts again.
func TestConnectionAfterLongLived(t *testing.T) {
	d, g := New(Options{}), newGate()
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(_ http.ResponseWriter, r *http.Request) { LongLived(r) })
	mux.Handle("/", g)
	s := start(t, d, mux)
	if a := get(s.Client(), "GET", s.URL+"/stream", nil); a.err != nil {
		t.Fatal(a.err)
	}
	settled(t, d, Status{})
	a := going(s.Client(), "GET", s.URL)
	receive(t, "the request", g.entered)
	if conns, requests := d.ledger.conns.Load(), d.ledger.requests.Load(); conns != 1 || requests != 1 {
		t.Errorf("%d connections and %d requests", conns, requests)
	}
	close(g.release)
	receive(t, "the answer", a)
	settled(t, d, Status{})
}

// HTTP/2, with TLS and without: many requests on one connection, all counted,
// and GOAWAY while draining.
func TestHTTP2(t *testing.T) {
	for name, encrypted := range map[string]bool{"TLS": true, "prior knowledge": false} {
		t.Run(name, func(t *testing.T) {
			d, g := New(Options{}), newGate()
			s := httptest.NewUnstartedServer(g)
			d.Instrument(s.Config)
			client := startHTTP2(s, encrypted)
			defer s.Close()

			answers := []<-chan answer{}
			for range 5 {
				answers = append(answers, going(client, "GET", s.URL))
				receive(t, "a request", g.entered)
			}
			expect(t, d, Status{InFlight: 5})
			if conns := d.ledger.conns.Load(); conns != 1 {
				t.Errorf("%d connections", conns)
			}
			d.SetDraining(true)
			close(g.release)
			for _, ch := range answers {
				if a := receive(t, "an answer", ch); a.err != nil || a.body != "done" {
					t.Errorf("answer %+v", a)
				}
			}
			settled(t, d, Status{Draining: true})
			// The client may not have read of it when it has its answers.
			for deadline := time.Now().Add(patience); reused(t, client, s.URL); {
				if time.Now().After(deadline) {
					t.Fatal("the connection is used on")
				}
			}
		})
	}
}

func startHTTP2(s *httptest.Server, encrypted bool) *http.Client {
	if encrypted {
		s.EnableHTTP2 = true
		s.StartTLS()
		return s.Client()
	}
	both := new(http.Protocols)
	both.SetHTTP1(true)
	both.SetUnencryptedHTTP2(true)
	s.Config.Protocols = both
	s.Start()
	only := new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: only, TLSClientConfig: &tls.Config{}}}
}

// reused sends a request and says whether it went over an old connection.
func reused(t *testing.T, c *http.Client, url string) bool {
	t.Helper()
	var old bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { old = i.Reused },
	})
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return old
}
