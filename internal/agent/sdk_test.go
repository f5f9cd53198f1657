package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/pkg/drain"
)

// The agent and the SDK understand each other: told to drain, the workload
// answers with Connection: close, and its status holds until the last response.
func TestSDK(t *testing.T) {
	t.Parallel()
	work, port := listen(t, "")
	status, statusPort := listen(t, "127.0.0.1")
	var l ledger
	ctx, terminate := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		over <- drain.New(drain.Options{}).Serve(ctx, &http.Server{Handler: http.HandlerFunc(l.serve)}, work, status)
	}()
	for range 10 {
		dialPort(t, port, request("/4000"))
	}
	got := wait(t, spec(func(s *hold.Spec) {
		s.ServePorts = []int32{port}
		s.HTTP = &hold.HTTP{Port: statusPort, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 20, PeriodSeconds: 1, DrainedWhen: "Body"}
		s.Notify = &hold.Notify{Port: statusPort, Path: "/drain"}
	}))
	l.settled(t, got, 10, 0)
	check(t, got, hold.OutcomeDrained, time.Second, 4*time.Second)
	// Told to drain, it closes what it has answered.
	conn, err := net.Dial("tcp", work.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if exchange(t, conn, "/0"); !closed(conn) {
		t.Error("the connection stays open while draining")
	}
	terminate()
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// closed says whether the other side has closed.
func closed(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, err := conn.Read(make([]byte, 1))
	return n == 0 && err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}
