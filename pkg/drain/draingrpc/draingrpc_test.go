package draingrpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/drain-operator/drain-operator/pkg/drain"
)

// workload answers Check at once, or, of the service "slow", when the test lets
// it; Watch ends at its notice.
type workload struct {
	grpc_health_v1.UnimplementedHealthServer
	d       *drain.Drainer
	addr    string
	release chan struct{}
	stop    context.CancelFunc
	ended   chan error
	servers atomic.Int32
}

func (w *workload) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if r.Service == "slow" {
		select {
		case <-w.release:
		case <-ctx.Done():
		}
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
}

func (w *workload) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	if err := s.Send(&grpc_health_v1.HealthCheckResponse{}); err != nil {
		return err
	}
	select {
	case <-Notice(s.Context()):
		return nil
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func serve(t *testing.T, timeout time.Duration) *workload {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &workload{
		d: drain.New(drain.Options{NoticeTime: 100 * time.Millisecond}), addr: ln.Addr().String(),
		release: make(chan struct{}), stop: stop, ended: make(chan error, 1),
	}
	t.Cleanup(stop)
	go func() {
		w.ended <- Serve(ctx, w.d, ln, timeout, func(more ...grpc.ServerOption) *grpc.Server {
			w.servers.Add(1)
			s := grpc.NewServer(more...)
			grpc_health_v1.RegisterHealthServer(s, w)
			return s
		})
	}()
	return w
}

func (w *workload) client(t *testing.T) grpc_health_v1.HealthClient {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return grpc_health_v1.NewHealthClient(conn)
}

// call makes one RPC and returns the address that its connection has here.
func call(t *testing.T, c grpc_health_v1.HealthClient, service string) string {
	t.Helper()
	var p peer.Peer
	if _, err := c.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service}, grpc.Peer(&p)); err != nil {
		t.Fatalf("an RPC failed: %v", err)
	}
	return p.LocalAddr.String()
}

// until waits for a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: it does not come about", what)
		}
	}
}

func TestRPCsAreCounted(t *testing.T) {
	w := serve(t, time.Minute)
	c := w.client(t)
	answered := make(chan struct{})
	go func() { defer close(answered); call(t, c, "slow") }()
	until(t, "a unary RPC in flight", func() bool { return w.d.Status().InFlight == 1 })
	stream, err := c.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "a stream that is long-lived", func() bool { s := w.d.Status(); return s.LongLived == 1 && s.InFlight == 1 })
	close(w.release)
	<-answered
	w.d.SetDraining(true)
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want io.EOF", err)
	}
	until(t, "nothing left", func() bool { s := w.d.Status(); return s.LongLived == 0 && s.InFlight == 0 })
}

// A client that never pauses changes its connection at the notification, and
// again and again while it comes back to the same pod. None of its RPCs fails.
func TestNotificationSendsGoAway(t *testing.T) {
	w := serve(t, time.Minute)
	c := w.client(t)
	first := call(t, c, "")
	if again := call(t, c, ""); again != first {
		t.Fatalf("two RPCs on %s and %s", first, again)
	}
	w.d.SetDraining(true)
	second := first
	until(t, "another connection", func() bool { second = call(t, c, ""); return second != first })
	until(t, "a third one, since that was made while draining", func() bool { return call(t, c, "") != second })
	if n := w.servers.Load(); n != 2 {
		t.Errorf("%d servers, want one for before and one for while it drains", n)
	}
	w.stop()
	if err := <-w.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if _, err := c.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

// A pod that stays after all serves as before.
func TestDrainTakenBack(t *testing.T) {
	w := serve(t, time.Minute)
	c := w.client(t)
	first := call(t, c, "")
	w.d.SetDraining(true)
	until(t, "another connection", func() bool { return call(t, c, "") != first })
	w.d.SetDraining(false)
	// The connection that was made while draining goes, the next one stays.
	until(t, "a server for those who stay", func() bool { call(t, c, ""); return w.servers.Load() == 3 })
	stays := call(t, c, "")
	for end := time.Now().Add(2 * ageWhileDraining); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if now := call(t, c, ""); now != stays {
			t.Fatal("a connection is told to go though the workload does not drain")
		}
	}
	w.d.SetDraining(true) // the second time is as the first
	until(t, "another connection", func() bool { return call(t, c, "") != stays })
}

func TestEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		want    string
	}{
		"waits for an RPC": {time.Minute, ""},
		"cuts it":          {200 * time.Millisecond, "1 requests in flight were cut after 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, tc.timeout)
			c := w.client(t)
			answered := make(chan error, 1)
			go func() {
				_, err := c.Check(context.Background(), &grpc_health_v1.HealthCheckRequest{Service: "slow"})
				answered <- err
			}()
			until(t, "an RPC in flight", func() bool { return w.d.Status().InFlight == 1 })
			w.stop()
			until(t, "draining", w.d.Draining)
			if tc.want == "" {
				close(w.release)
			}
			err := <-answered
			if cut := err != nil; cut != (tc.want != "") {
				t.Errorf("the RPC ended with %v", err)
			}
			switch err := <-w.ended; {
			case tc.want == "" && err != nil, tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("it ended with %v, want %q", err, tc.want)
			}
		})
	}
}

func TestListenerThatFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	d := drain.New(drain.Options{})
	if err := Serve(t.Context(), d, ln, time.Second, func(...grpc.ServerOption) *grpc.Server { return grpc.NewServer() }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v", err)
	}
}
