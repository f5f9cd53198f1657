// Package draingrpc has a gRPC server take part in the drain of its pod: RPCs
// are counted in the drain status, and connections are told to go (GOAWAY) as
// soon as the workload is notified, while new ones are still served.
//
//	d := drain.New(drain.Options{})
//	go d.ServeStatus(ctx, statusListener)
//	err := draingrpc.Serve(ctx, d, listener, drain.DefaultShutdownTimeout, func(more ...grpc.ServerOption) *grpc.Server {
//		s := grpc.NewServer(append(options, more...)...)
//		pb.RegisterGreeterServer(s, greeter)
//		return s
//	})
//
// # When GOAWAY is sent
//
// grpc-go sends GOAWAY to all connections of a server in GracefulStop only, and
// to each that reaches keepalive.ServerParameters.MaxConnectionAge. GracefulStop
// closes the server's listener as well: a pod that called it when it is notified
// would refuse connections while it is still in rotation. One that waits for
// SIGTERM with it keeps its clients until then, and a client that never pauses
// keeps its pod from ever being idle.
//
// So Serve has two servers behind one listener. The notification ends the first
// one by GracefulStop: its clients are told at once, finish their RPCs and
// connect again. Those who come meanwhile, because a load balancer does not know
// yet, are served by the second one, whose connections are told to go after a
// second. With SIGTERM that one ends as well.
package draingrpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/drain-operator/drain-operator/pkg/drain"
)

const (
	// ageWhileDraining is how old a connection gets that was made while the
	// workload drained.
	ageWhileDraining = time.Second
	// begun is the time that a server has to begin with the connections that it
	// was given: one that is stopped closes those, instead of telling them.
	begun = 100 * time.Millisecond
	// pause is that after an error of a listener which goes on.
	pause = 50 * time.Millisecond
)

// Serve serves connections of a listener until ctx is done, which is meant to be
// at SIGTERM, and then ends gracefully, within a timeout. It counts RPCs in d.
//
// newServer makes a server with further options after its own; it is called for
// those who connect while the workload serves, and again for those who do while
// it drains, whose keepalive.ServerParameters are not its own.
//
// The error says how many requests were cut, or why there was no serving on.
func Serve(ctx context.Context, d *drain.Drainer, ln net.Listener, timeout time.Duration, newServer func(...grpc.ServerOption) *grpc.Server) error {
	s := &servers{d: d, newServer: newServer, current: map[bool]*lane{}}
	over := make(chan error, 1)
	go func() { over <- s.accept(ln) }()
	var err error
	select {
	case err = <-over:
		err = errors.Join(err, ln.Close())
	case <-ctx.Done():
		d.SetDraining(true)
		_ = ln.Close() // it was asked for nothing
		<-over
	}
	d.SetDraining(true)
	return errors.Join(err, s.end(timeout))
}

// servers are those behind one listener.
type servers struct {
	d         *drain.Drainer
	newServer func(...grpc.ServerOption) *grpc.Server

	mu sync.Mutex
	// current are those that take new connections: while the workload drains, and
	// while it does not.
	current map[bool]*lane
	all     []*grpc.Server
	ends    sync.WaitGroup
}

func (s *servers) accept(ln net.Listener) error {
	for {
		c, err := ln.Accept()
		if err == nil {
			s.hand(c)
			continue
		}
		if t, ok := err.(interface{ Temporary() bool }); !ok || !t.Temporary() { //nolint:errorlint // as net/http has it
			return err
		}
		time.Sleep(pause)
	}
}

// hand gives a connection to the server that is to have it, and returns when
// that has taken it.
func (s *servers) hand(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	draining := s.d.Draining()
	l := s.current[draining]
	if l == nil {
		l = s.begin(draining)
	}
	select {
	case l.conns <- c:
	case <-l.closed: // by somebody else than us
		_ = c.Close()
	}
}

// begin begins a server.
func (s *servers) begin(draining bool) *lane {
	options := []grpc.ServerOption{grpc.ChainUnaryInterceptor(UnaryInterceptor(s.d)), grpc.ChainStreamInterceptor(StreamInterceptor(s.d))}
	if draining {
		options = append(options, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: ageWhileDraining}))
	}
	server, l := s.newServer(options...), newLane()
	s.current[draining], s.all = l, append(s.all, server)
	started := s.d.DrainStarted()
	s.ends.Go(func() { _ = server.Serve(l) }) // its listener fails with its end only
	if !draining {
		s.ends.Go(func() {
			select {
			case <-started:
				s.tell(server, l)
			case <-l.closed:
			}
		})
	}
	return l
}

// tell sends GOAWAY to all connections of a server, and waits for their ends.
func (s *servers) tell(server *grpc.Server, l *lane) {
	s.mu.Lock()
	if s.current[false] == l {
		delete(s.current, false)
	}
	s.mu.Unlock()
	time.Sleep(begun)
	server.GracefulStop()
}

// end ends all servers, within a time.
func (s *servers) end(timeout time.Duration) error {
	time.Sleep(begun)
	s.mu.Lock()
	all := s.all
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, server := range all {
			s.ends.Go(server.GracefulStop)
		}
		s.ends.Wait()
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(timeout):
	}
	left := s.d.Status().InFlight
	for _, server := range all {
		server.Stop()
	}
	if left > 0 {
		return fmt.Errorf("%d requests in flight were cut after %v", left, timeout)
	}
	return nil
}

// lane is the listener of one of the servers.
type lane struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newLane() *lane {
	l := &lane{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept returns the next connection.
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept. The real listener stays open.
func (l *lane) Close() error {
	l.close()
	return nil
}

// Addr names no address: the real listener has it.
func (l *lane) Addr() net.Addr { return &net.TCPAddr{} }
