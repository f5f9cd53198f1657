package inflight

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	ms   = time.Millisecond
	idle = 2 * time.Second
)

var (
	server = netip.MustParseAddrPort("10.0.0.2:8080")
	client = netip.MustParseAddrPort("10.0.0.9:40000")
)

// wire is one connection on a wire with a coarse clock.
type wire struct {
	conn                  Conn
	received, sent, acked time.Duration
	tick                  time.Duration
	looks                 []time.Duration
	classes               []Class
	tracker               Tracker
}

func newWire() *wire {
	return &wire{
		conn:    Conn{ID: 1, Local: server, Remote: client, Accepted: true, AcksOut: 1},
		tick:    4 * ms,
		tracker: Tracker{Idle: idle},
	}
}

func (w *wire) floor(at time.Duration) time.Duration { return at - at%w.tick }

// request arrives; acks says that the pod acknowledges it at once.
func (w *wire) request(at time.Duration) *wire {
	w.lookUntil(at)
	w.conn.Received += 100
	w.received, w.acked = w.floor(at), w.floor(at)
	return w
}

func (w *wire) response(at time.Duration) *wire {
	w.lookUntil(at)
	w.conn.Sent += 500
	w.sent = w.floor(at)
	return w
}

// ackIn is the client's acknowledgement without payload, ackOut the pod's.
func (w *wire) ackIn(at time.Duration) *wire {
	w.lookUntil(at)
	w.acked = w.floor(at)
	w.conn.AcksIn++
	return w
}

func (w *wire) ackOut(at time.Duration) *wire {
	w.lookUntil(at)
	w.conn.AcksOut++
	return w
}

// watch looks from a time on, so far apart.
func (w *wire) watch(from, interval, to time.Duration) *wire {
	for at := from; at <= to; at += interval {
		w.looks = append(w.looks, at)
	}
	return w
}

func (w *wire) lookUntil(at time.Duration) {
	for len(w.looks) > 0 && w.looks[0] < at {
		w.look(w.looks[0])
		w.looks = w.looks[1:]
	}
}

func (w *wire) look(at time.Duration) {
	c := w.conn
	c.SinceReceived, c.SinceSent, c.SinceAcked = w.floor(at)-w.received, w.floor(at)-w.sent, w.floor(at)-w.acked
	count := w.tracker.Observe(at, Look{Conns: []Conn{c}}, []int32{8080})
	for class := range count.ByClass {
		w.classes = append(w.classes, class)
	}
}

// last takes all looks until at, and returns what the last one said.
func (w *wire) last(at time.Duration) Class {
	w.lookUntil(at)
	w.look(at)
	return w.classes[len(w.classes)-1]
}

func TestClasses(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		wire *wire
		at   time.Duration
		want Class
	}{
		"never used":                                          {newWire(), 5 * s, Unused},
		"first request is worked on":                          {newWire().request(0), 5 * s, Owing},
		"first request is answered":                           {newWire().request(0).response(100 * ms), s, Recent},
		"answered, and silent since":                          {newWire().request(0).response(100 * ms), 3 * s, Idle},
		"the server speaks first":                             {newWire().response(0), s, Recent},
		"headers flushed, silent for less than idleSeconds":   {newWire().request(0).response(10 * ms), 1900 * ms, Recent},
		"headers flushed, silent for longer: the limit":       {newWire().request(0).response(10 * ms), 3 * s, Idle},
		"a body is slowly uploaded":                           {newWire().request(0).response(s).request(2 * s).request(4 * s), 8 * s, Owing},
		"next request some time later":                        {newWire().request(0).response(10 * ms).request(s), 9 * s, Owing},
		"fast response, acknowledged with delay, not watched": {newWire().request(0).response(1 * ms).ackIn(41 * ms), 3 * s, Idle},
		"fast response, watched from idleness": {
			newWire().watch(0, 20*ms, 9*s).request(0).response(10 * ms).request(s + 5*ms).response(s + 6*ms), s + idle + 100*ms, Idle,
		},
		"fast response that carries the acknowledgement": {
			newWire().watch(0, 20*ms, 9*s).request(0).response(10 * ms).request(s + 5*ms).response(s + 6*ms), 2 * s, Recent,
		},
		"fast response, everything acknowledged at once": {
			newWire().watch(0, 20*ms, 9*s).request(0).response(10 * ms).
				request(s + 5*ms).ackOut(s + 5*ms).response(s + 6*ms).ackIn(s + 6*ms), 2 * s, Unclear,
		},
		"fast response, everything acknowledged at once, aged": {
			newWire().watch(0, 20*ms, 9*s).request(0).response(10 * ms).
				request(s + 5*ms).ackOut(s + 5*ms).response(s + 6*ms).ackIn(s + 6*ms), s + idle + 100*ms, Idle,
		},
		"fast response, the look falls between": {
			newWire().watch(s+1*ms, 20*ms, 9*s).request(0).response(10 * ms).request(s).response(s + 2*ms), s + idle + 100*ms, Idle,
		},
		"back to back, the pod acknowledges at once": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).response(505 * ms).request(506 * ms).ackOut(506 * ms), 50 * s, Owing,
		},
		"back to back, everything acknowledged at once": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).response(505 * ms).ackIn(505 * ms).request(506 * ms).ackOut(506 * ms), 9 * s, Unclear,
		},
		"upload whose end is answered at once, everything acknowledged at once: held too long": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).request(s + 5*ms).ackOut(s + 5*ms).response(s + 6*ms).ackIn(s + 6*ms), 9 * s, Unclear,
		},
		"upload whose end is answered at once": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).request(s + 5*ms).response(s + 6*ms).ackIn(s + 6*ms), s + idle + 100*ms, Idle,
		},
		"back to back, the pod acknowledges with delay": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).response(505 * ms).request(506 * ms).ackOut(546 * ms), 50 * s, Owing,
		},
		"back to back out of idleness, the pod acknowledges with delay": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).response(5 * ms).request(s + 5*ms).response(s + 6*ms).request(s + 7*ms).ackOut(s + 47*ms), 50 * s, Owing,
		},
		"back to back, the look falls between": {
			newWire().watch(502*ms, 20*ms, 60*s).request(0).response(500 * ms).request(503 * ms), 50 * s, Owing,
		},
		"back to back, never watched, still young": {
			newWire().request(0).response(505 * ms).request(506 * ms), 9 * s, Unclear,
		},
		"back to back, never watched, aged: the limit": {
			newWire().request(0).response(505 * ms).request(506 * ms), 11 * s, Idle,
		},
		"a keepalive of the pod is no acknowledgement of a request": {
			newWire().watch(0, 20*ms, 60*s).request(0).response(10 * ms).request(s + 5*ms).response(s + 6*ms).ackOut(16 * s), 17 * s, Idle,
		},
		"answered in the end": {
			newWire().watch(0, 20*ms, 60*s).request(1 * ms).response(505 * ms).request(506 * ms).response(4 * s), 4*s + idle + 20*ms, Idle,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.wire.last(tc.at); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestSnapshots(t *testing.T) {
	long := 10 * time.Second
	base := Conn{ID: 1, Local: server, Remote: client, Accepted: true}
	with := func(change func(*Conn)) Look {
		c := base
		change(&c)
		return Look{Conns: []Conn{c}}
	}
	answered := func(c *Conn) { c.Received, c.Sent, c.SinceReceived, c.SinceSent = 100, 500, long+time.Second, long }
	tests := map[string]struct {
		look Look
		want Count
	}{
		"nothing":                {Look{}, Count{ByClass: map[Class]int{}}},
		"bytes not read":         {with(func(c *Conn) { answered(c); c.Unread = 1 }), Count{InFlight: 1, ByClass: map[Class]int{Moving: 1}}},
		"bytes not acknowledged": {with(func(c *Conn) { answered(c); c.Unsent = 9 }), Count{InFlight: 1, ByClass: map[Class]int{Moving: 1}}},
		"client gone, the FIN not read": {with(func(c *Conn) {
			answered(c)
			c.State, c.Unread, c.Received = PeerClosed, 1, 101
		}), Count{ByClass: map[Class]int{Idle: 1}}},
		"client closed without using it": {with(func(c *Conn) {
			c.State, c.Unread, c.Received = PeerClosed, 1, 1
		}), Count{ByClass: map[Class]int{Unused: 1}}},
		"client half-closed and waits": {with(func(c *Conn) {
			c.State, c.Received, c.SinceReceived = PeerClosed, 101, long
		}), Count{InFlight: 1, ByClass: map[Class]int{Owing: 1}}},
		"closed by the pod, all sent but the FIN": {with(func(c *Conn) {
			answered(c)
			c.State, c.Unsent, c.Accepted = WeClosed, 1, false
		}), Count{ByClass: map[Class]int{Idle: 1}}},
		"closed by the pod, part of the response to go": {with(func(c *Conn) {
			answered(c)
			c.State, c.Unsent, c.Accepted = WeClosed, 3000, false
		}), Count{InFlight: 1, ByClass: map[Class]int{Moving: 1}}},
		"ages": {with(func(c *Conn) {
			answered(c)
			c.SinceSent = time.Second
		}), Count{InFlight: 1, ByClass: map[Class]int{Recent: 1}, Calm: time.Second}},
		"another port": {with(func(c *Conn) {
			c.Received, c.Local = 100, netip.AddrPortFrom(server.Addr(), 9090)
		}), Count{ByClass: map[Class]int{}}},
		"in the accept queue, nothing sent": {Look{
			Conns:     []Conn{{ID: 2, Local: server, Remote: client}},
			Listeners: []Listener{{Local: server, Backlog: 1}},
		}, Count{InFlight: 1, Queued: 1, ByClass: map[Class]int{Unused: 1}}},
		"in the accept queue with a request: counted once": {Look{
			Conns:     []Conn{{ID: 2, Local: server, Remote: client, Received: 100, Unread: 100}},
			Listeners: []Listener{{Local: server, Backlog: 1}, {Local: netip.AddrPortFrom(server.Addr(), 9090), Backlog: 7}},
		}, Count{InFlight: 1, ByClass: map[Class]int{Moving: 1}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tracker := Tracker{Idle: idle}
			got := tracker.Observe(0, tc.look, []int32{8080})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("count (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForgetsConnectionsThatAreGone(t *testing.T) {
	tracker := Tracker{Idle: idle}
	tracker.Observe(0, Look{Conns: []Conn{{ID: 1, Local: server}}}, nil)
	tracker.Observe(ms, Look{Conns: []Conn{{ID: 2, Local: server}}}, nil)
	if len(tracker.conns) != 1 {
		t.Errorf("%d connections remembered, want 1", len(tracker.conns))
	}
}
