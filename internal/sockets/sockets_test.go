package sockets

import (
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/drain-operator/drain-operator/internal/inflight"
)

// open prepares looking, at the connections on a port that others do not use.
func open(t *testing.T, own *Own, ports ...int32) *Eye {
	t.Helper()
	eye, err := Open(own, ports)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = eye.Close() })
	return eye
}

// pair is a connection, seen from both ends.
func pair(t *testing.T, network, address string) (l net.Listener, client, server *net.TCPConn) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c, err := net.Dial(network, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return l, c.(*net.TCPConn), s.(*net.TCPConn)
}

func addrPort(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// on is what a look shows of one port.
func on(t *testing.T, eye *Eye, port uint16) inflight.Look {
	t.Helper()
	look, err := eye.Look()
	if err != nil {
		t.Fatal(err)
	}
	look.Conns = slices.DeleteFunc(look.Conns, func(c inflight.Conn) bool { return c.Local.Port() != port })
	look.Listeners = slices.DeleteFunc(look.Listeners, func(l inflight.Listener) bool { return l.Local.Port() != port })
	return look
}

// shown waits until a look shows what is wanted of one port: the kernel hands
// over what was sent on loopback when it comes to it. It returns the last look.
func shown(t *testing.T, eye *Eye, port uint16, wanted func(inflight.Look) bool) inflight.Look {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if look := on(t, eye, port); wanted(look) || time.Now().After(deadline) {
			return look
		}
	}
}

// shownConns is shown for connections.
func shownConns(t *testing.T, eye *Eye, port uint16, want []inflight.Conn) []inflight.Conn {
	t.Helper()
	return shown(t, eye, port, func(look inflight.Look) bool {
		return cmp.Equal(want, look.Conns, counted, cmp.Comparer(equalAddr))
	}).Conns
}

var counted = cmpopts.IgnoreFields(inflight.Conn{}, "ID", "SegmentsIn", "SegmentsOut", "AcksIn", "AcksOut", "SinceReceived", "SinceSent", "SinceAcked")

func TestLook(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, client, server := pair(t, "tcp", address)
			local, remote := addrPort(l.Addr()), addrPort(client.LocalAddr())
			eye := open(t, &Own{}, int32(local.Port()))
			want := []inflight.Conn{{Local: local, Remote: remote, Accepted: true}}
			if diff := cmp.Diff(want, shownConns(t, eye, local.Port(), want), counted, cmp.Comparer(equalAddr)); diff != "" {
				t.Errorf("not used yet (-want +got):\n%s", diff)
			}
			look := on(t, eye, local.Port())
			if diff := cmp.Diff([]inflight.Listener{{Local: local}}, look.Listeners, cmp.Comparer(equalAddr)); diff != "" {
				t.Errorf("listeners (-want +got):\n%s", diff)
			}
			if !look.OpensKnown || look.Opens == 0 {
				t.Errorf("PassiveOpens %d, known %v", look.Opens, look.OpensKnown)
			}

			write(t, client, "request")
			want[0].Received, want[0].Unread = 7, 7
			if diff := cmp.Diff(want, shownConns(t, eye, local.Port(), want), counted, cmp.Comparer(equalAddr)); diff != "" {
				t.Errorf("request not read (-want +got):\n%s", diff)
			}
			read(t, server, 7)
			write(t, server, "response!")
			read(t, client, 9)
			want[0].Sent, want[0].Unread = 9, 0
			if diff := cmp.Diff(want, shownConns(t, eye, local.Port(), want), counted, cmp.Comparer(equalAddr)); diff != "" {
				t.Errorf("answered (-want +got):\n%s", diff)
			}

			if err := client.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got := shown(t, eye, local.Port(), func(look inflight.Look) bool {
				return len(look.Conns) == 1 && look.Conns[0].State == inflight.PeerClosed
			}).Conns
			if len(got) != 1 || got[0].State != inflight.PeerClosed || got[0].Payload() != 7 {
				t.Errorf("half-closed: %+v", got)
			}
			_ = l.Close() // its connections are seen all the same
			_ = server.Close()
			for _, c := range on(t, eye, local.Port()).Conns {
				if c.State != inflight.WeClosed {
					t.Errorf("closed: %+v", c)
				}
			}
		})
	}
}

func equalAddr(a, b netip.AddrPort) bool { return a == b }

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, conn net.Conn, n int) {
	t.Helper()
	if _, err := io.ReadFull(conn, make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

func TestBacklog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	local := addrPort(l.Addr())
	want := inflight.Look{
		Conns:     []inflight.Conn{{Local: local, Remote: addrPort(client.LocalAddr())}},
		Listeners: []inflight.Listener{{Local: local, Backlog: 1}},
	}
	same := cmp.Options{counted, cmp.Comparer(equalAddr), cmpopts.IgnoreFields(inflight.Look{}, "Opens", "OpensKnown")}
	look := shown(t, open(t, &Own{}), local.Port(), func(look inflight.Look) bool { return cmp.Equal(want, look, same) })
	if diff := cmp.Diff(want, look, same); diff != "" {
		t.Errorf("look (-want +got):\n%s", diff)
	}
}

// The agent's own connections are left out, and so are they from the count.
func TestOwn(t *testing.T) {
	own := &Own{}
	l, client, _ := pair(t, "tcp", "127.0.0.1:0")
	own.Dialing()
	own.Dialed(addrPort(client.LocalAddr()))
	own.Dialing()
	own.Dialed(netip.AddrPort{}) // failed
	if got := on(t, open(t, own), addrPort(l.Addr()).Port()).Conns; len(got) != 0 {
		t.Errorf("own connections are shown: %+v", got)
	}
	if got := own.count(); got != 1 {
		t.Errorf("%d own connections counted, want 1", got)
	}
}

func TestListeners(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		all, err := Listeners()
		if err != nil {
			t.Fatal(err)
		}
		if want := (inflight.Listener{Local: addrPort(l.Addr())}); !slices.Contains(all, want) {
			t.Errorf("%v is not among %v", want, all)
		}
	}
}

func TestParseOpens(t *testing.T) {
	const names, values = "Tcp: RtoAlgorithm ActiveOpens PassiveOpens EstabResets\n", "Tcp: 1 5 17 2\n"
	tests := map[string]struct {
		page string
		want uint64
		ok   bool
	}{
		"a page":       {"Ip: Forwarding\nIp: 1\n" + names + values + "Udp: x\n", 17, true},
		"empty":        {"", 0, false},
		"names only":   {names, 0, false},
		"too few":      {names + "Tcp: 1 5\n", 0, false},
		"not a number": {names + "Tcp: 1 5 many 2\n", 0, false},
		"another name": {"Tcp: A B\nTcp: 1 2\n", 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := parseOpens(tc.page); got != tc.want || ok != tc.ok {
				t.Errorf("got %d, %v", got, ok)
			}
		})
	}
}

func TestParseListener(t *testing.T) {
	tests := map[string]struct {
		line string
		want inflight.Listener
		ok   bool
	}{
		"loopback":    {"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000", inflight.Listener{Local: netip.MustParseAddrPort("127.0.0.1:8080"), Backlog: 2}, true},
		"any, IPv6":   {"   1: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000", inflight.Listener{Local: netip.MustParseAddrPort("[::]:80")}, true},
		"IPv6":        {"   1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000", inflight.Listener{Local: netip.MustParseAddrPort("[::1]:80")}, true},
		"established": {"   0: 0100007F:1F90 0100007F:8000 01 00000000:00000000 00:00000000", inflight.Listener{}, false},
		"the heading": {"  sl  local_address rem_address   st tx_queue rx_queue", inflight.Listener{}, false},
		"garbage":     {"0: zz:1F90 00000000:0000 0A 00000000:00000002", inflight.Listener{}, false},
		"too long":    {"0: 01000:1F90 00000000:0000 0A 00000000:00000002", inflight.Listener{}, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := parseListener(tc.line)
			if ok != tc.ok || ok && got != tc.want {
				t.Errorf("got %+v, %v", got, ok)
			}
		})
	}
}

func TestParseStart(t *testing.T) {
	const fields = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 12345 20"
	tests := map[string]struct {
		stat string
		want time.Duration
		ok   bool
	}{
		"plain":          {"7 (agent)" + fields, 123450 * time.Millisecond, true},
		"a nasty name":   {"7 (a) S 9 (b)" + fields, 123450 * time.Millisecond, true},
		"no name":        {"7", 0, false},
		"too few fields": {"7 (agent) S 1", 0, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, ok := parseStart(tc.stat); got != tc.want || ok != tc.ok {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

func TestProcessAge(t *testing.T) {
	first, ok := ProcessAge(os.Getpid())
	if !ok || first > time.Hour {
		t.Errorf("this process is %v old, %v", first, ok)
	}
	if _, ok := ProcessAge(-1); ok {
		t.Error("a process that cannot be has an age")
	}
	if age := Age(time.Now()); age < first {
		t.Errorf("the pod is %v old, younger than this process with %v", age, first)
	}
}

// A netlink answer that is cut short or lies about its lengths is no socket,
// and no panic.
func FuzzMessages(f *testing.F) {
	d := &diag{}
	f.Add(d.request(2))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		if _, err := d.messages(b, func(socket) { n++ }); err != nil {
			return
		}
		if most := len(b) / (sizeofHeader + sizeofMessage); n > most {
			t.Errorf("%d sockets in %d bytes", n, len(b))
		}
	})
}
