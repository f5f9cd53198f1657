// Package inflight works out from looks at a pod's TCP connections which of
// them owe a response. It is pure, and apart from package rotation because that
// one asks another question of the same looks: not what is owed, but whether
// anything new still comes. internal/sockets takes the looks.
package inflight

import (
	"net/netip"
	"slices"
	"time"
)

// State of a connection, as far as it matters here.
type State uint8

const (
	// Open: both sides may send.
	Open State = iota
	// PeerClosed: the client has closed its sending side, and may still read
	// (CLOSE_WAIT). The kernel counts its FIN as one byte received.
	PeerClosed
	// WeClosed: the pod has closed its sending side (FIN_WAIT, LAST_ACK,
	// CLOSING): all that may be owed is what the kernel has yet to send.
	WeClosed
)

// Conn is one look at one connection that the pod accepted.
type Conn struct {
	// ID is the kernel's socket cookie: never used twice in a network namespace.
	ID uint64
	// Local is the pod's end, Remote the client's.
	Local, Remote netip.AddrPort
	State         State
	// Accepted is false while the connection waits in the listener's queue.
	Accepted bool

	// Received and Sent are payload bytes in all; Sent leaves out what was
	// sent again. Received includes a FIN.
	Received, Sent uint64
	// SegmentsIn and SegmentsOut count segments with payload, AcksIn and
	// AcksOut those without, the handshake's included.
	SegmentsIn, SegmentsOut, AcksIn, AcksOut uint32

	// SinceReceived, SinceSent and SinceAcked say how long ago payload came,
	// payload went, and the client last acknowledged something. Their
	// resolution is the kernel's tick, 1 to 10 ms.
	SinceReceived, SinceSent, SinceAcked time.Duration

	// Unread is what the pod has not read yet, Unsent what the client has not
	// acknowledged yet, in bytes; either counts a FIN as one.
	Unread, Unsent uint32
}

// Payload is Received less the client's FIN.
func (c Conn) Payload() uint64 {
	if c.State == PeerClosed && c.Received > 0 {
		return c.Received - 1
	}
	return c.Received
}

// unread is Unread less the client's FIN.
func (c Conn) unread() uint32 {
	if c.State == PeerClosed && c.Unread > 0 {
		return c.Unread - 1
	}
	return c.Unread
}

// Listener is one listening socket.
type Listener struct {
	Local netip.AddrPort
	// Backlog is the number of connections that wait to be accepted.
	Backlog uint32
}

// Look is what one dump of the pod's sockets showed.
type Look struct {
	// Conns are the connections that the pod accepted, on any port, without
	// the agent's own.
	Conns []Conn
	// Listeners are all listening sockets of the pod.
	Listeners []Listener
	// Opens counts every connection that the pod's network namespace has ever
	// accepted, on any port, less the agent's own; only if OpensKnown.
	Opens      uint64
	OpensKnown bool
}

// Serves says whether a port is one of ports; no ports means every port.
func Serves(ports []int32, port uint16) bool {
	return len(ports) == 0 || slices.Contains(ports, int32(port))
}

// Listening returns the listeners on ports.
func (l Look) Listening(ports []int32) []Listener {
	var on []Listener
	for _, listener := range l.Listeners {
		if Serves(ports, listener.Local.Port()) {
			on = append(on, listener)
		}
	}
	return on
}
