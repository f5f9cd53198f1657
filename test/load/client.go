package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// Kind is how a request uses connections.
type Kind uint8

// The kinds of connection use.
const (
	// Fresh: a connection of its own, closed after the answer.
	Fresh Kind = iota
	// KeepAlive: a persistent connection with pauses between requests.
	KeepAlive
	// Busy: a persistent connection without a pause between requests.
	Busy
	// RPC: unary RPCs of gRPC on one HTTP/2 connection, without a pause between
	// them.
	RPC
	kinds
)

// String is the kind as shown in tables.
func (k Kind) String() string {
	return [kinds]string{"fresh", "keep-alive", "busy", "RPC"}[k]
}

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 64 << 10

// client sends requests of one kind, each exactly once.
type client struct {
	host *fasthttp.HostClient
	kind Kind
	url  []byte
	sl   time.Duration
}

// newClient makes a client with at most maxConns connections.
//
// fasthttp repeats a request in one place only, the loop of HostClient.Do; it
// ends after the first attempt here, for each of two reasons.
func newClient(c Config, kind Kind, maxConns int) *client {
	addr, _ := c.address()
	return &client{
		kind: kind,
		url:  []byte(c.Target + "?ms="),
		sl:   c.slack(),
		host: &fasthttp.HostClient{
			Addr:                      addr.String(),
			MaxConns:                  maxConns,
			MaxConnDuration:           0,
			MaxIdleConnDuration:       time.Hour,
			MaxResponseBodySize:       maxBody,
			MaxIdemponentCallAttempts: 1,
			RetryIfErr:                func(*fasthttp.Request, int, error) (bool, bool) { return false, false },
			NoDefaultUserAgentHeader:  true,
			DialTimeout:               dialer(c.SpreadPorts),
		},
	}
}

// ended is how a request ended: who answered, and the error if there was one.
type ended struct {
	cause Cause
	pod   string
	err   error
}

// do sends one request and waits for its end.
func (c *client) do(p planned) ended {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	c.fill(req, p)
	err := c.host.DoTimeout(req, resp, p.work+c.sl)
	var used *conn
	if a, ok := resp.RemoteAddr().(connAddr); ok {
		used = a.conn
	}
	e := ended{cause: classify(err, resp.StatusCode(), used), pod: podIn(resp.Body()), err: err}
	if err == nil && e.cause != Answered {
		e.err = fmt.Errorf("status %d", resp.StatusCode())
	}
	return e
}

// podIn reads which pod answered, where the body says so as the example
// workloads do: {"pod": "web-1", …}.
func podIn(body []byte) string {
	var answer struct{ Pod string }
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	return answer.Pod
}

func (c *client) fill(req *fasthttp.Request, p planned) {
	req.SetRequestURI(string(strconv.AppendInt(bytes.Clone(c.url), p.work.Milliseconds(), 10)))
	if p.method == POST {
		req.Header.SetMethod(fasthttp.MethodPost)
		req.Header.SetContentType("text/plain")
		req.SetBodyString("work, please")
	}
	if c.kind == Fresh {
		req.SetConnectionClose()
	}
}

func (c *client) close() { c.host.CloseIdleConnections() }

// conn remembers what became of its latest request: fasthttp reports a reset
// before the answer as a plain close, and the difference matters here. One
// request at a time uses a connection, so nothing is locked.
type conn struct {
	net.Conn
	// answering: something was received since the last request was written.
	answering bool
	failure   error
}

func (c *conn) Write(b []byte) (int, error) {
	c.answering = false
	n, err := c.Conn.Write(b)
	c.failure = err
	return n, err
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.answering = c.answering || n > 0
	c.failure = err
	return n, err
}

// RemoteAddr is how a response leads back to its connection: fasthttp gives
// every response the address of the connection it was asked for on.
func (c *conn) RemoteAddr() net.Addr { return connAddr{c.Conn.RemoteAddr(), c} }

type connAddr struct {
	net.Addr
	conn *conn
}
