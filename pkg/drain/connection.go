package drain

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// connection follows one connection of an instrumented server.
//
// net/http calls it active from the moment a request's headers are read until
// the response has been written out (HTTP/1), or while any stream is open
// (HTTP/2). That is longer than a handler runs at both ends: before the handler
// begins, and while the last bytes of the response leave the server's buffer. A
// hijacked connection leaves the server, and is counted by its request.
type connection struct {
	mu      sync.Mutex
	active  bool
	aside   bool // it carries a long-lived or an ignored request
	counted bool // in the ledger
}

// setState takes over what the server says. Whatever was put aside is over once
// the connection is idle, or begins a new request.
func (c *connection) setState(d *Drainer, active bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.active, c.aside = active, false
	c.count(d)
}

// setAside no longer counts the connection, until it is idle: as long as it
// carries a request that is not in flight, being active proves nothing. Other
// requests on it (HTTP/2) are still counted by their handlers.
func (c *connection) setAside(d *Drainer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aside = true
	c.count(d)
}

func (c *connection) count(d *Drainer) {
	owes := c.active && !c.aside
	if owes == c.counted {
		return
	}
	c.counted = owes
	if owes {
		d.ledger.addConns(1)
	} else {
		d.ledger.addConns(-1)
	}
}

// Instrument prepares a server for the drain: its handler is wrapped in
// Middleware, and its connections are followed by way of ConnState and
// ConnContext; hooks that were set before go on being called. Call it before
// the server serves and after everything else is set. Run calls it by itself;
// to call it twice does no harm.
func (d *Drainer) Instrument(srv *http.Server) {
	handler := srv.Handler
	if handler == nil {
		handler = http.DefaultServeMux
	}
	srv.Handler = d.Middleware(handler)

	onState := srv.ConnState
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		d.connState(c, state)
		if onState != nil {
			onState(c, state)
		}
	}
	onContext := srv.ConnContext
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if onContext != nil {
			ctx = onContext(ctx, c)
		}
		return context.WithValue(ctx, connectionKey{d}, d.connection(c))
	}
}

func (d *Drainer) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateClosed, http.StateHijacked:
		if known, ok := d.conns.LoadAndDelete(c); ok {
			known.(*connection).setState(d, false)
		}
	default:
		d.connection(c).setState(d, state == http.StateActive)
	}
}

func (d *Drainer) connection(c net.Conn) *connection {
	if known, ok := d.conns.Load(c); ok {
		return known.(*connection)
	}
	known, _ := d.conns.LoadOrStore(c, &connection{})
	return known.(*connection)
}

// connectionKey is the context key of a connection: of each Drainer its own.
type connectionKey struct{ d *Drainer }

func (d *Drainer) connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{d}).(*connection)
	return c
}
