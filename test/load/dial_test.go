package load

import (
	"net"
	"testing"
)

func TestPortsAreTakenInTurn(t *testing.T) {
	s := serve(t, func(_ int, c *net.TCPConn) bool { ok(c); return true })
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	taken := busy.Addr().(*net.TCPAddr).Port
	ports.Store(uint32(taken - firstPort))
	t.Cleanup(func() { ports.Store(0) })
	last := taken
	for range 4 {
		c, err := dialer(true)(s.listener.Addr().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		port := c.LocalAddr().(*net.TCPAddr).Port
		if port <= last {
			t.Errorf("after port %d comes %d", last, port)
		}
		last = port
	}
}

func TestPortsStayInRange(t *testing.T) {
	t.Cleanup(func() { ports.Store(0) })
	ports.Store(lastPort - firstPort)
	if a, b := nextPort(), nextPort(); a != lastPort || b != firstPort {
		t.Errorf("after the last port %d comes %d", a, b)
	}
}
