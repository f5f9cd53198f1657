package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/drain-operator/drain-operator/examples/internal/work"
	"github.com/drain-operator/drain-operator/pkg/drain/draingrpc"
)

const longest = time.Minute

// service is what protoc would make of
//
//	service Work {
//	  // Do answers after a time with the name of the pod.
//	  rpc Do(google.protobuf.Duration) returns (google.protobuf.StringValue);
//	  // Ticks says the name of the pod again and again, until the pod is to end.
//	  rpc Ticks(google.protobuf.Duration) returns (stream google.protobuf.StringValue);
//	}
var service = grpc.ServiceDesc{
	ServiceName: "example.Work",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Do", Handler: handleDo}},
	Streams:     []grpc.StreamDesc{{StreamName: "Ticks", Handler: ticks, ServerStreams: true}},
}

func handleDo(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
	var in durationpb.Duration
	if err := decode(&in); err != nil {
		return nil, err
	}
	if intercept == nil {
		return do(ctx, &in)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: "/example.Work/Do"}
	return intercept(ctx, &in, info, do)
}

func do(ctx context.Context, req any) (any, error) {
	d := req.(*durationpb.Duration).AsDuration()
	if d < 0 || d > longest {
		return nil, status.Errorf(codes.InvalidArgument, "the time must be in 0..%v", longest)
	}
	select {
	case <-time.After(d):
		return wrapperspb.String(work.Name()), nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

func ticks(_ any, stream grpc.ServerStream) error {
	var in durationpb.Duration
	if err := stream.RecvMsg(&in); err != nil {
		return err
	}
	if in.AsDuration() < time.Millisecond {
		return status.Error(codes.InvalidArgument, "the time between two ticks is too short")
	}
	notice := draingrpc.Notice(stream.Context())
	tick := time.NewTicker(in.AsDuration())
	defer tick.Stop()
	for {
		if err := stream.SendMsg(wrapperspb.String(work.Name())); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-notice:
			return nil // the client calls again, on another connection
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
