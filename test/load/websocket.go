package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is what every other client of WebSockets offers, the first one
// included. A server that takes it says
// {"reconnect": true} when a client is to connect again, and goes on sending
// back what comes until the client closes; one that does not closes with 1012.
const Subprotocol = "echo.reconnect"

// echoes is a client that sends numbered messages, one at a time and whether or
// not the last one has come back.
type echoes struct {
	run          *Run
	http         *http.Client
	url          string
	subprotocols []string
	// last is the number of the latest message. unprocessed are those that are to
	// be sent again.
	last        int
	unprocessed []int
}

// echo is one connection of such a client.
type echo struct {
	*echoes
	past
	conn *websocket.Conn
	// out are the messages that have not come back, the oldest first.
	out []message
	// leaving: nothing new is sent.
	leaving bool
}

type message struct {
	n    int
	sent time.Time
}

// frame is what came on a connection: a message, or its end.
type frame struct {
	text []byte
	err  error
}

func (c *echoes) connect(ctx context.Context) past {
	e := echo{echoes: c}
	// The connection outlives ctx: what is under way is waited for.
	background := context.WithoutCancel(ctx)
	dialing, cancel := context.WithTimeout(background, c.run.cfg.slack())
	defer cancel()
	conn, resp, err := websocket.Dial(dialing, c.url, &websocket.DialOptions{HTTPClient: c.http, Subprotocols: c.subprotocols}) //nolint:bodyclose // Dial says that it need not be
	if err != nil {
		return past{Session: Session{Cause: causeOf(err, statusOf(resp))}, err: err}
	}
	c.run.open.Add(1)
	defer c.run.open.Add(-1)
	e.conn, e.pod = conn, resp.Header.Get(PodHeader)
	e.hold(ctx, background)
	e.account()
	return e.past
}

func statusOf(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}

// hold sends and receives until the connection is over.
func (e *echo) hold(ctx, background context.Context) {
	defer func() { _ = e.conn.CloseNow() }()
	reading, cancel := context.WithCancel(background)
	defer cancel()
	frames := make(chan frame, 1)
	go e.read(reading, frames)
	tick := time.NewTicker(e.run.cfg.messageEvery())
	defer tick.Stop()
	e.sendAgain(background)
	for over, stopped := false, ctx.Done(); !over; {
		select {
		case f := <-frames:
			over = e.take(f)
		case <-tick.C:
			over = e.next(background)
		case <-stopped:
			e.leaving, stopped = true, nil
		}
		if !over && e.leaving && len(e.out) == 0 {
			e.end(e.conn.Close(websocket.StatusNormalClosure, "told to go"))
			over = true
		}
	}
}

// read passes on what comes, the end of the connection last.
func (e *echo) read(ctx context.Context, frames chan<- frame) {
	for {
		_, text, err := e.conn.Read(ctx)
		select {
		case frames <- frame{text, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// sendAgain sends what was declared unprocessed on the last connection.
func (e *echo) sendAgain(ctx context.Context) {
	for _, n := range e.unprocessed {
		e.send(ctx, n)
	}
	e.unprocessed = nil
}

// next sends the next message, unless the client leaves, and looks whether what
// was sent comes back.
func (e *echo) next(ctx context.Context) (over bool) {
	if len(e.out) > 0 && time.Since(e.out[0].sent) > e.run.cfg.slack() {
		e.end(errSilent)
		return true
	}
	if e.leaving {
		return false
	}
	e.last++
	e.send(ctx, e.last)
	return false
}

// send sends one message. Where that fails the reader tells why the connection
// is over, which it is the first to know.
func (e *echo) send(ctx context.Context, n int) {
	e.Sent++
	e.out = append(e.out, message{n, time.Now()})
	bounded, cancel := context.WithTimeout(ctx, e.run.cfg.slack())
	defer cancel()
	if err := e.conn.Write(bounded, websocket.MessageText, numbered(n)); err != nil {
		e.leaving = true
	}
}

// take takes what came.
func (e *echo) take(f frame) (over bool) {
	if f.err != nil {
		e.end(f.err)
		return true
	}
	w := parseWord(f.text)
	if w.Pod != "" {
		e.pod = w.Pod
	}
	if w.Reconnect && e.Told == 0 {
		e.tell()
		e.leaving, e.hint = true, time.Duration(w.AfterMillis)*time.Millisecond
	}
	if i := slices.IndexFunc(e.out, func(m message) bool { return m.n == w.N }); i >= 0 {
		e.out = slices.Delete(e.out, i, i+1)
		e.Received++
	} else if w.N > 0 {
		e.end(fmt.Errorf("message %d came back, and is not under way", w.N))
		e.Cause = Other
		return true
	}
	return false
}

func (e *echo) tell() { e.Told = max(time.Since(e.run.started), 1) }

// end names the end of the connection.
func (e *echo) end(err error) {
	e.err = err
	var closed websocket.CloseError
	switch {
	case !errors.As(err, &closed):
		e.Cause = causeOf(err, 0)
	case e.Told == 0 && closed.Code == websocket.StatusServiceRestart:
		e.tell()
	case e.Told == 0:
		e.Cause = Closed
	}
}

// account says what became of the messages that did not come back. A server
// closes in the order of what it sends, so that what has not come back by then
// will not: it is the client's to send again, where it was told to go.
func (e *echo) account() {
	if e.Told == 0 || e.Cause != Answered {
		e.Lost = len(e.out)
		return
	}
	for _, m := range e.out {
		e.unprocessed = append(e.unprocessed, m.n)
	}
}

func numbered(n int) []byte { return fmt.Appendf(nil, `{"n":%d}`, n) }
