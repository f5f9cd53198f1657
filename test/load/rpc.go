package load

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// rpcStreams is where the numbers of their streams begin.
const rpcStreams = 1 << 32

// rpcs makes one RPC right after the other, on one connection at a time. None is
// sent twice, but for those that the protocol says were not processed: a server
// that sends GOAWAY names the last one that it takes, and a client of grpc-go
// sends what came after that on its next connection.
func (r *Run) rpcs(ctx context.Context, stream uint64) {
	conn, err := r.cfg.grpcClient()
	if err != nil { // the configuration is checked, so that it cannot be
		r.stop()
		return
	}
	defer func() { _ = conn.Close() }()
	for plan := newShape(r.cfg, stream, 0); ctx.Err() == nil; {
		cause := r.call(conn, plan.next())
		if cause != Answered && !r.waitUntil(ctx, time.Since(r.started)+leastDistance) {
			return
		}
	}
}

func (c Config) grpcClient() (*grpc.ClientConn, error) {
	addr, _ := c.address()
	return grpc.NewClient("passthrough:///"+addr.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(_ context.Context, addr string) (net.Conn, error) {
			return dial(net.Dialer{Timeout: c.slack(), KeepAlive: -1}, addr, c.SpreadPorts)
		}))
}

// call makes one RPC and records its end.
func (r *Run) call(conn *grpc.ClientConn, p planned) Cause {
	r.under.Add(1)
	defer r.under.Add(-1)
	ctx, cancel := context.WithTimeout(context.Background(), p.work+r.cfg.slack())
	defer cancel()
	start := time.Since(r.started)
	var pod wrapperspb.StringValue
	err := conn.Invoke(ctx, "/example.Work/Do", durationpb.New(p.work), &pod)
	rec := Record{Start: start, Work: p.work, Latency: time.Since(r.started) - start, Kind: RPC, Method: POST, Cause: causeOfRPC(err)}
	r.record(rec, ended{cause: rec.Cause, pod: pod.Value, err: err}, 0)
	return rec.Cause
}

// causeOfRPC names the end of an RPC. What is behind Unavailable grpc-go has as
// text only.
func causeOfRPC(err error) Cause {
	switch status.Code(err) {
	case codes.OK:
		return Answered
	case codes.DeadlineExceeded:
		return TimedOut
	case codes.Unavailable:
		switch text := err.Error(); {
		case strings.Contains(text, "connection refused"):
			return Refused
		case strings.Contains(text, "reset by peer"), strings.Contains(text, "broken pipe"):
			return Reset
		case strings.Contains(text, "no route to host"), strings.Contains(text, "network is unreachable"):
			return Unreachable
		}
		return Closed
	}
	return Other
}
