package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainclient"
	"github.com/drain-operator/drain-operator/internal/inflight"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// pod stands for the pod itself as a host: the dialer finds the address at which
// the port is listened on.
const pod = "localhost"

const dialTimeout = 2 * time.Second

// dialer connects to the pod's own ports, wherever they are listened on, and
// keeps count of the connections, which are nobody's work.
type dialer struct {
	own *sockets.Own
	// host is what the pod is called in URLs, and stands for it as well.
	host string
}

func newDialer(own *sockets.Own) dialer { return dialer{own: own, host: ownHost()} }

// client speaks HTTP to what it connects to.
func (d dialer) client(keepAlive bool) *http.Client {
	return drainclient.New(d.dial, keepAlive)
}

// dial connects to a port of the pod, or to another host.
func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if host != pod && host != d.host || err != nil {
		return d.dialOne(ctx, network, address, isOwn(host))
	}
	var failed error
	for _, candidate := range candidates(uint16(number)) {
		conn, err := d.dialOne(ctx, network, netip.AddrPortFrom(candidate, uint16(number)).String(), true)
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("nothing answers on port %d: %w", number, failed)
}

func (d dialer) dialOne(ctx context.Context, network, address string, own bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	if !own {
		return dialer.DialContext(ctx, network, address)
	}
	d.own.Dialing()
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		d.own.Dialed(netip.AddrPort{})
		return nil, err
	}
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	d.own.Dialed(local)
	return conn, nil
}

// candidates are the addresses at which a port may be reached, best first: the
// listeners', else loopback and the interfaces'.
func candidates(port uint16) []netip.Addr {
	listeners, err := sockets.Listeners()
	if err != nil {
		listeners = nil // the guess below is all there is
	}
	if found := reachable(listeners, port); len(found) > 0 {
		return found
	}
	return append(loopback(), interfaces()...)
}

// reachable orders the addresses of the listeners on a port: loopback first,
// which nothing between the pods can interfere with.
func reachable(listeners []inflight.Listener, port uint16) []netip.Addr {
	var near, far []netip.Addr
	for _, l := range listeners {
		switch addr := l.Local.Addr(); {
		case l.Local.Port() != port:
		case addr.IsUnspecified():
			near = append(near, loopback()...)
		case addr.IsLoopback():
			near = append(near, addr)
		default:
			far = append(far, addr)
		}
	}
	return append(near, far...)
}

func loopback() []netip.Addr {
	return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
}

// interfaces are the pod's other addresses.
func interfaces() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil // no addresses to try
	}
	var found []netip.Addr
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err == nil && prefix.Addr().IsGlobalUnicast() {
			found = append(found, prefix.Addr())
		}
	}
	return found
}

// isOwn says whether a host is an address of the pod.
func isOwn(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, own := range interfaces() {
		if own == addr {
			return true
		}
	}
	return addr.IsLoopback()
}

// urlOf is where a port of the pod, or of another host, serves a path.
func (d dialer) urlOf(scheme, host string, port int32, path string) string {
	host = orDefault(host, d.host)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return strings.ToLower(orDefault(scheme, "http")) + "://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
}

func orDefault(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
