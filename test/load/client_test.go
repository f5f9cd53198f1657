package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// ownHost is a loopback address of this process's own: a port that was listened
// on is not taken by another.
var ownHost = fmt.Sprintf("127.82.%d.%d", os.Getpid()>>8&0xff, os.Getpid()&0xff)

// rawServer answers connections with a function of the test and counts the
// requests that arrived, however they ended.
type rawServer struct {
	listener net.Listener
	conns    atomic.Int32
	requests atomic.Int32
}

// serve calls answer for every request with its number on the connection, from
// 0; answer says whether the connection stays open.
func serve(t *testing.T, answer func(n int, c *net.TCPConn) bool) *rawServer {
	t.Helper()
	l, err := net.Listen("tcp", ownHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &rawServer{listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			go s.connection(c.(*net.TCPConn), answer)
		}
	}()
	return s
}

func (s *rawServer) connection(c *net.TCPConn, answer func(int, *net.TCPConn) bool) {
	defer c.Close()
	r := bufio.NewReader(c)
	for n := 0; ; n++ {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		s.requests.Add(1)
		if !answer(n, c) {
			return
		}
	}
}

func (s *rawServer) url() string { return "http://" + s.listener.Addr().String() + "/work" }

func (s *rawServer) client(kind Kind) *client {
	return newClient(Config{Target: s.url(), SlackSeconds: 30}, kind, 1)
}

func ok(c *net.TCPConn, headers ...string) {
	const body = `{"pod":"web-1"}`
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(headers, ""), body)
}

// A request on a persistent connection that the server closes without an answer
// reaches the server once and is a failure. net/http sends it again on a second
// connection and reports success: that is what this client is for.
func TestRequestIsSentOnce(t *testing.T) {
	closesSecond := func(n int, c *net.TCPConn) bool {
		if n == 0 {
			ok(c)
		}
		return n == 0
	}
	for name, method := range map[string]Method{"GET": GET, "POST": POST} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, closesSecond)
			c := s.client(KeepAlive)
			if cause := c.do(planned{method: method}).cause; cause != Answered {
				t.Fatalf("first request: %v", cause)
			}
			if cause := c.do(planned{method: method}).cause; cause != Closed {
				t.Errorf("request on the closed connection: %v, want %v", cause, Closed)
			}
			if got := s.requests.Load(); got != 2 {
				t.Errorf("%d requests arrived for 2 that were sent", got)
			}
			if got := s.conns.Load(); got != 1 {
				t.Errorf("%d connections were made, want 1", got)
			}
		})
	}
}

func TestNetHTTPHidesIt(t *testing.T) {
	s := serve(t, func(n int, c *net.TCPConn) bool {
		if n == 0 {
			ok(c)
		}
		return n == 0
	})
	h := &http.Client{Transport: &http.Transport{}}
	defer h.CloseIdleConnections()
	for range 2 {
		resp, err := h.Get(s.url())
		if err != nil {
			t.Fatalf("net/http no longer hides a cut request: %v", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := s.requests.Load(); got != 3 {
		t.Errorf("%d requests arrived for 2 calls, expected one repeated", got)
	}
}

// A connection that the server closed while it lay idle is a stale one. The
// request on it fails and is not sent again.
func TestStaleConnectionIsNotRepeated(t *testing.T) {
	closed := make(chan struct{})
	s := serve(t, func(n int, c *net.TCPConn) bool {
		ok(c)
		c.Close()
		close(closed)
		return false
	})
	c := s.client(KeepAlive)
	if cause := c.do(planned{}).cause; cause != Answered {
		t.Fatalf("first request: %v", cause)
	}
	<-closed
	if cause := c.do(planned{}).cause; cause != Closed && cause != Reset {
		t.Errorf("request on the stale connection: %v, want closed or reset", cause)
	}
	if got := s.conns.Load(); got != 1 {
		t.Errorf("%d connections were made, want 1", got)
	}
}

func TestCauses(t *testing.T) {
	respond := func(text string) func(int, *net.TCPConn) bool {
		return func(_ int, c *net.TCPConn) bool {
			io.WriteString(c, text)
			return false
		}
	}
	for name, tc := range map[string]struct {
		answer func(int, *net.TCPConn) bool
		want   Cause
	}{
		"answered":           {func(_ int, c *net.TCPConn) bool { ok(c); return false }, Answered},
		"closed":             {func(int, *net.TCPConn) bool { return false }, Closed},
		"reset":              {func(_ int, c *net.TCPConn) bool { c.SetLinger(0); return false }, Reset},
		"half the headers":   {respond("HTTP/1.1 200 OK\r\nContent-Le"), Truncated},
		"headers, no body":   {respond("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), Truncated},
		"half the body":      {respond("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), Truncated},
		"half of the chunks": {respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), Truncated},
		"no last empty line": {respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), Truncated},
		"server error":       {respond("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"), ServerError},
		"not found":          {respond("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), Other},
		"redirect":           {respond("HTTP/1.1 302 There\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), Other},
		"no answer":          {func(_ int, c *net.TCPConn) bool { io.Copy(io.Discard, c); return false }, TimedOut},
		"stops in the middle": {func(_ int, c *net.TCPConn) bool {
			io.WriteString(c, "HTTP/1.1 2")
			io.Copy(io.Discard, c)
			return false
		}, TimedOut},
	} {
		for _, kind := range []Kind{Fresh, KeepAlive} {
			t.Run(name+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				s := serve(t, tc.answer)
				c := s.client(kind)
				if tc.want == TimedOut {
					c.sl = 300 * time.Millisecond
				}
				if got := c.do(planned{}).cause; got != tc.want {
					t.Errorf("got %v, want %v", got, tc.want)
				}
				for deadline := time.Now().Add(20 * time.Second); s.requests.Load() == 0 && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond) // it was sent, and may not have been read when time was up
				}
				if got := s.requests.Load(); got != 1 {
					t.Errorf("%d requests arrived for one", got)
				}
			})
		}
	}
}

func TestRefused(t *testing.T) {
	s := serve(t, nil)
	s.listener.Close()
	if got := s.client(Fresh).do(planned{}).cause; got != Refused {
		t.Errorf("got %v, want %v", got, Refused)
	}
}

// What the network answers cannot be brought about on loopback.
func TestClassifyByErrorAlone(t *testing.T) {
	dialing := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	for name, tc := range map[string]struct {
		err  error
		conn *conn
		want Cause
	}{
		"no route to the host":          {dialing(syscall.EHOSTUNREACH), nil, Unreachable},
		"no route to the network":       {dialing(syscall.ENETUNREACH), nil, Unreachable},
		"reset while it is made":        {dialing(syscall.ECONNRESET), nil, Reset},
		"no connection in time":         {dialing(syscall.ETIMEDOUT), nil, TimedOut},
		"no port left":                  {dialing(syscall.EADDRNOTAVAIL), nil, Other},
		"written to a closed one":       {io.EOF, &conn{failure: syscall.EPIPE}, Reset},
		"cut within the answer":         {io.EOF, &conn{failure: syscall.ECONNRESET, answering: true}, Truncated},
		"route lost before the answer":  {fasthttp.ErrConnectionClosed, &conn{failure: syscall.EHOSTUNREACH}, Unreachable},
		"something that nobody thought": {fasthttp.ErrConnectionClosed, &conn{failure: errors.New("odd")}, Other},
	} {
		if got := classify(tc.err, 0, tc.conn); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestPodIn(t *testing.T) {
	for body, want := range map[string]string{`{"pod":"web-1","ms":5}`: "web-1", `{"pod":5}`: "", "ok": "", "": "", "[]": ""} {
		if got := podIn([]byte(body)); got != want {
			t.Errorf("%q names the pod %q, want %q", body, got, want)
		}
	}
}

func TestConnectionUse(t *testing.T) {
	for name, tc := range map[string]struct {
		kind   Kind
		header string
		want   int32
	}{
		"fresh":                       {Fresh, "", 5},
		"keep-alive":                  {KeepAlive, "", 1},
		"keep-alive, server says bye": {KeepAlive, "Connection: close\r\n", 5},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(_ int, c *net.TCPConn) bool {
				ok(c, tc.header)
				return tc.header == ""
			})
			c := s.client(tc.kind)
			for i := range 5 {
				if e := c.do(planned{}); e.cause != Answered || e.pod != "web-1" {
					t.Errorf("request %d: %v by %q", i, e.cause, e.pod)
				}
			}
			if got := s.conns.Load(); got != tc.want {
				t.Errorf("%d connections for 5 requests, want %d", got, tc.want)
			}
		})
	}
}
