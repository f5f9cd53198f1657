// Package sockets looks at the TCP sockets of the network namespace that it
// runs in: by sock_diag (netlink), which any process may use without privilege,
// and /proc/net where that is refused.
//
// It speaks netlink through golang.org/x/sys alone: the netlink libraries
// gather a dump before they hand it out, or take a fresh buffer of 64 KiB per
// read, and this one runs up to 50 times a second in the workload's cgroup.
package sockets

import (
	"net/netip"
	"sync"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

// Eye looks at sockets. It is not safe for concurrent use.
type Eye struct {
	diag *diag
	own  *Own
	// ports on which something listened at some time, or will be asked about.
	// An app that drains may close its listener before its connections.
	ports map[uint16]bool
	// conns is the last look's, whose memory the next one takes over.
	conns []inflight.Conn
}

// Open prepares looking; the error says why sock_diag cannot be had. The
// connections of own are left out, connections on ports count even when nothing
// listens there any more.
func Open(own *Own, ports []int32) (*Eye, error) {
	d, err := openDiag()
	if err != nil {
		return nil, err
	}
	e := &Eye{diag: d, own: own, ports: map[uint16]bool{}}
	for _, p := range ports {
		e.ports[uint16(p)] = true
	}
	return e, nil
}

// Close ends looking.
func (e *Eye) Close() error { return e.diag.close() }

// Look takes one look at all accepted connections and listeners. Its Conns are
// valid until the next look.
func (e *Eye) Look() (inflight.Look, error) {
	var look inflight.Look
	conns := e.conns[:0]
	err := e.diag.dump(func(s socket) {
		if s.listening {
			look.Listeners = append(look.Listeners, inflight.Listener{Local: s.conn.Local, Backlog: s.conn.Unread})
			e.ports[s.conn.Local.Port()] = true
			return
		}
		conns = append(conns, s.conn)
	})
	if err != nil {
		return inflight.Look{}, err
	}
	e.conns = conns
	look.Conns = conns[:0]
	for _, c := range conns {
		if e.ports[c.Local.Port()] && !e.own.has(c.Remote.Port(), c.Remote.Addr() == c.Local.Addr()) {
			look.Conns = append(look.Conns, c)
		}
	}
	look.Opens, look.OpensKnown = passiveOpens(e.own)
	return look, nil
}

// Own knows the connections that the agent itself makes, which are not the
// workload's work. It is safe for concurrent use.
type Own struct {
	mu    sync.Mutex
	dials uint64
	ports map[uint16]bool
}

// Dialing says that a connection is about to be made. It counts at once, so
// that no look sees the connection before it is known to be ours.
func (o *Own) Dialing() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dials++
}

// Dialed says how it went: local is the agent's end; invalid if it failed.
func (o *Own) Dialed(local netip.AddrPort) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !local.IsValid() {
		o.dials--
		return
	}
	if o.ports == nil {
		o.ports = map[uint16]bool{}
	}
	o.ports[local.Port()] = true
}

// has says whether a client's port is one of the agent's; such connections have
// the same address at both ends.
func (o *Own) has(port uint16, sameAddress bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return sameAddress && o.ports[port]
}

func (o *Own) count() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dials
}
