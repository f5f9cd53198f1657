package drain

import (
	"crypto/tls"
	"net"
)

// onClose returns the connection with a hook that is called after every Close.
// Plain TCP and TLS connections keep the
// methods that go beyond net.Conn: proxies look for CloseWrite, and copying
// looks for ReadFrom.
func onClose(c net.Conn, hook func()) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		return tcpConn{c, hook}
	case *tls.Conn:
		return tlsConn{c, hook}
	}
	return otherConn{c, hook}
}

type tcpConn struct {
	*net.TCPConn
	hook func()
}

func (c tcpConn) Close() error {
	defer c.hook()
	return c.TCPConn.Close()
}

type tlsConn struct {
	*tls.Conn
	hook func()
}

func (c tlsConn) Close() error {
	defer c.hook()
	return c.Conn.Close()
}

type otherConn struct {
	net.Conn
	hook func()
}

func (c otherConn) Close() error {
	defer c.hook()
	return c.Conn.Close()
}
