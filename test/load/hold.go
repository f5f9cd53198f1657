package load

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// connectsPerSecond is the rate at which clients of long-lived connections
	// make their first one: they do not come all at once.
	connectsPerSecond = 250
	// leastDistance is that of two attempts of a client to connect.
	leastDistance = 100 * time.Millisecond
	// longestHint bounds how long a client stays away because it was told so.
	longestHint = time.Minute
	// maxSessions bounds the memory of a run.
	maxSessions = 200_000
	// PodHeader is where the head of an answer may name the pod that serves a
	// long-lived connection.
	PodHeader = "Pod"
)

// word is what a server of long-lived connections may say to a client in JSON,
// as a text message of a WebSocket or as the data of an event. Messages of
// clients are {"n": 17}, and come back as they are.
type word struct {
	// N is the number of a message, from 1.
	N int `json:"n,omitempty"`
	// Pod is who serves the connection, wherever it has not said so in PodHeader.
	Pod string `json:"pod,omitempty"`
	// Reconnect tells the client to connect again, in AfterMillis. On a WebSocket
	// it sends no more, waits for the messages under way and closes.
	Reconnect   bool `json:"reconnect,omitempty"`
	AfterMillis int  `json:"afterMillis,omitempty"`
}

func parseWord(b []byte) (w word) {
	_ = json.Unmarshal(b, &w) // what is not JSON says nothing
	return w
}

// past is a connection that is over: who was at its other side, how long the
// client was told to stay away, and the error if there was one.
type past struct {
	Session
	pod  string
	hint time.Duration
	err  error
}

// longLived is a client that makes one connection at a time, and holds it until
// it is over or ctx is done.
type longLived interface {
	connect(ctx context.Context) past
}

// sessions begins the clients of long-lived connections.
func (r *Run) sessions(ctx context.Context, streams *sync.WaitGroup) {
	addr, _ := r.cfg.address()
	h := r.cfg.httpClient()
	for i := range r.cfg.WebSockets {
		c := &echoes{run: r, http: h, url: "ws://" + addr.String() + "/ws"}
		if i%2 == 0 {
			c.subprotocols = []string{Subprotocol}
		}
		streams.Go(func() { r.hold(ctx, WebSocket, i, c) })
	}
	for i := range r.cfg.EventStreams {
		streams.Go(func() {
			r.hold(ctx, EventStream, i, &events{run: r, http: h, url: "http://" + addr.String() + "/events"})
		})
	}
}

// hold keeps one client connected.
func (r *Run) hold(ctx context.Context, kind SessionKind, number int, c longLived) {
	for at := time.Duration(number) * time.Second / connectsPerSecond; r.waitUntil(ctx, at); {
		start := time.Since(r.started)
		p := c.connect(ctx)
		p.Kind, p.Client, p.Start, p.End = kind, number, start, time.Since(r.started)
		r.recordSession(p)
		// A service that lets nobody stay would be asked in a tight loop.
		at = max(p.End+min(p.hint, longestHint), p.Start+leastDistance)
	}
}

func (r *Run) recordSession(p past) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := p.Session
	s.Pod = r.podIndex(p.pod)
	switch {
	case s.Told > 0:
		r.told++
	case !s.Kept():
		r.untold++
	}
	if s.Cause == Other {
		r.other(p.err)
	}
	if len(r.res.Sessions) == maxSessions {
		r.res.NotSent++
		r.stop()
		return
	}
	r.res.Sessions = append(r.res.Sessions, s)
}

// httpClient makes a connection for each of its requests and sends none twice.
func (c Config) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(_ context.Context, _, addr string) (net.Conn, error) {
			return dial(net.Dialer{Timeout: c.slack(), KeepAlive: -1}, addr, c.SpreadPorts)
		},
		MaxIdleConnsPerHost:   -1, // none is used again
		DisableCompression:    true,
		ResponseHeaderTimeout: c.slack(),
	}}
}

// causeOf names the end of a long-lived connection, or of the attempt to make
// one. The status is that of the answer, 0 where there was none.
func causeOf(err error, status int) Cause {
	switch {
	case err == nil:
		return Answered
	case status >= 500:
		return ServerError
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Truncated
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return Closed
	}
	return cmp.Or(classify(err, http.StatusOK, nil), Other)
}

// errSilent ends a connection on which nothing comes any more.
var errSilent = fasthttp.ErrTimeout
