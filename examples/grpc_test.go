package examples

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

// startGRPC builds and starts the workload, and returns a connection to it once
// it is healthy.
func startGRPC(t *testing.T) (*exec.Cmd, *grpc.ClientConn) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "grpc")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./grpc").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-addr", host+":8080", "-status-addr", host+":8089", "-notice", "200ms")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	conn, err := grpc.NewClient("passthrough:///"+host+":8080", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// It listens in a moment, and is waited for instead of being refused.
	if _, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	return cmd, conn
}

// A client that never pauses changes its connection when the pod is notified,
// and its stream ends; no RPC fails, and SIGTERM waits for one that is long.
func TestGRPCTellsItsClients(t *testing.T) {
	cmd, conn := startGRPC(t)
	do := func(work time.Duration, options ...grpc.CallOption) error {
		return conn.Invoke(t.Context(), "/example.Work/Do", durationpb.New(work), &wrapperspb.StringValue{}, options...)
	}
	address := func() string {
		var p peer.Peer
		if err := do(time.Millisecond, grpc.Peer(&p)); err != nil {
			t.Fatal(err)
		}
		return p.LocalAddr.String()
	}
	first := address()
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/example.Work/Ticks")
	if err == nil {
		err = errors.Join(stream.SendMsg(durationpb.New(20*time.Millisecond)), stream.CloseSend(), stream.RecvMsg(&wrapperspb.StringValue{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+host+":8089/drain", "application/json", strings.NewReader(`{"draining": true}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	for deadline := time.Now().Add(20 * time.Second); address() == first; {
		if time.Now().After(deadline) {
			t.Fatal("the connection stays")
		}
	}
	for err == nil {
		err = stream.RecvMsg(&wrapperspb.StringValue{})
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v, want io.EOF", err)
	}

	last := make(chan error, 1)
	go func() { last <- do(time.Second) }()
	awaitInFlight(t)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-last; err != nil {
		t.Errorf("an RPC was cut: %v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

// awaitInFlight waits until the workload says that something is in flight.
func awaitInFlight(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		res, err := http.Get("http://" + host + ":8089/drain-status")
		if err != nil {
			t.Fatal(err)
		}
		got := drainstatus.EvaluateBody(drainstatus.Reply{StatusCode: res.StatusCode, Body: res.Body}, drainstatus.Exclude)
		_ = res.Body.Close()
		if got.State == drainstatus.Busy {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is in flight: %+v", got)
		}
	}
}
