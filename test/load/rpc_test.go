package load

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// rpcServer answers example.Work/Do with what a function of the test says.
func rpcServer(t *testing.T, do func() (string, error)) (target string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "example.Work", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "Do",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := decode(&durationpb.Duration{}); err != nil {
				return nil, err
			}
			pod, err := do()
			return wrapperspb.String(pod), err
		},
	}}}, nil)
	go func() { _ = s.Serve(ln) }()
	t.Cleanup(s.Stop)
	return "http://" + ln.Addr().String() + "/work", s.Stop
}

func TestRPCs(t *testing.T) {
	target, stop := rpcServer(t, func() (string, error) { return "web-1", nil })
	run, err := Start(t.Context(), Config{Target: target, RPCConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(is func(Live) bool) {
		for !is(run.Live()) {
			select {
			case <-run.Done():
				t.Fatal("the run ended")
			case <-time.After(time.Millisecond):
			}
		}
	}
	wait(func(l Live) bool { return l.Requests >= 20 })
	if l := run.Live(); l.Failed != 0 {
		t.Errorf("live %+v", l)
	}
	stop()
	wait(func(l Live) bool { return l.Failed >= 3 })
	run.Stop()
	res, err := run.Wait()
	if err != nil {
		t.Fatal(err)
	}
	tally := res.Tally(OnPersistent)
	if cut := tally.ByCause[Refused] + tally.ByCause[Closed] + tally.ByCause[Reset]; cut != tally.Failed() || res.Pods[res.Records[0].Pod] != "web-1" {
		t.Errorf("tally %+v, pods %v", tally, res.Pods)
	}
}

func TestCauseOfRPC(t *testing.T) {
	for text, tc := range map[string]struct {
		code codes.Code
		want Cause
	}{
		"":                               {codes.OK, Answered},
		"error reading from server: EOF": {codes.Unavailable, Closed},
		"dial tcp: connection refused":   {codes.Unavailable, Refused},
		"read: connection reset by peer": {codes.Unavailable, Reset},
		"connect: no route to host":      {codes.Unavailable, Unreachable},
		"too late":                       {codes.DeadlineExceeded, TimedOut},
		"no such method":                 {codes.Unimplemented, Other},
	} {
		if got := causeOfRPC(status.Error(tc.code, text)); got != tc.want {
			t.Errorf("%q: %v, want %v", text, got, tc.want)
		}
	}
}
