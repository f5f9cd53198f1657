package draingrpc

import (
	"context"

	"google.golang.org/grpc"

	"github.com/drain-operator/drain-operator/pkg/drain"
)

// UnaryInterceptor counts unary RPCs as requests in flight.
func UnaryInterceptor(d *drain.Drainer) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		defer d.Begin()()
		return handler(ctx, req)
	}
}

// StreamInterceptor counts streaming RPCs as long-lived connections. Their
// handlers wait for Notice.
func StreamInterceptor(d *drain.Drainer) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		notice, end := d.BeginLongLived()
		defer end()
		return handler(srv, noticed{stream, context.WithValue(stream.Context(), noticeKey{}, notice)})
	}
}

// Notice returns a channel that is closed when a streaming RPC is to end,
// because the workload drains or the stream is older than
// drain.Options.MaxConnectionAge: each at a moment of its own. The handler then
// returns, and its client calls again, on another connection. ctx is the
// stream's; of any other RPC the channel is nil.
func Notice(ctx context.Context) <-chan struct{} {
	notice, _ := ctx.Value(noticeKey{}).(<-chan struct{})
	return notice
}

type noticeKey struct{}

// noticed is a stream whose context knows its notice.
type noticed struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is what Context returns
}

func (s noticed) Context() context.Context { return s.ctx }
