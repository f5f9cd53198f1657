package cluster

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
)

// setUpNetwork gives the node an address that pods reach. Services need a route,
// any route: the kernel looks for one before nftables picks the endpoint.
// There is no default route, so nothing leaves the node.
func setUpNetwork(ctx context.Context) error {
	commands := []string{
		"link set lo up",
		"link add node0 type bridge",
		"addr add " + NodeIP + "/32 dev node0",
		"link set node0 up",
		"route add " + ServiceCIDR + " dev node0 src " + NodeIP,
	}
	for _, args := range commands {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// forward leads every connection of l to target. It returns when l is closed.
func forward(ctx context.Context, l net.Listener, target string) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go forwardOne(ctx, conn, target)
	}
}

func forwardOne(ctx context.Context, client net.Conn, target string) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go copyHalf(server, client, done)
	go copyHalf(client, server, done)
	<-done
	<-done
}

// copyHalf copies one direction and passes its end on. An error ends both.
func copyHalf(dst, src net.Conn, done chan<- struct{}) {
	_, err := io.Copy(dst, src)
	if tcp, ok := dst.(*net.TCPConn); ok && err == nil {
		err = tcp.CloseWrite()
	}
	if err != nil {
		dst.Close()
		src.Close()
	}
	done <- struct{}{}
}
