package load

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// dialTimeout bounds the making of a connection where a request has no bound.
const dialTimeout = 10 * time.Second

// Source ports that are taken in turn.
const (
	firstPort = 1024
	lastPort  = 65535
)

// ports is where the turn is, for all runs of the process: a port must not come
// back in the next one either.
var ports atomic.Uint32

func nextPort() int { return firstPort + int((ports.Add(1)-1)%(lastPort-firstPort+1)) }

// dialer makes connections that remember what became of their requests, from
// source ports taken in turn or of the kernel's choice.
func dialer(spread bool) fasthttp.DialFuncWithTimeout {
	return func(addr string, timeout time.Duration) (net.Conn, error) {
		if timeout <= 0 {
			timeout = dialTimeout
		}
		d := net.Dialer{Timeout: timeout, KeepAlive: -1}
		raw, err := dial(d, addr, spread)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: raw}, nil
	}
}

// maxBusyPorts is how many ports in a row may be in use. To pass one over is no
// second attempt: nothing was sent from it.
const maxBusyPorts = 1000

func dial(d net.Dialer, addr string, spread bool) (net.Conn, error) {
	if !spread {
		return d.Dial("tcp", addr)
	}
	for range maxBusyPorts {
		d.LocalAddr = &net.TCPAddr{Port: nextPort()}
		c, err := d.Dial("tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return c, err
		}
	}
	return nil, errors.New("no source port is free")
}
