// Command grpc is a gRPC workload: unary RPCs that take their time, and streams
// that do not end by themselves. Its connections have a maximum age, and are
// told to go (GOAWAY) when the pod is to end.
package main

import (
	"context"
	"flag"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	"github.com/drain-operator/drain-operator/examples/internal/work"
	"github.com/drain-operator/drain-operator/pkg/drain"
	"github.com/drain-operator/drain-operator/pkg/drain/draingrpc"
)

func main() {
	var options drain.Options
	timeout := flag.Duration("timeout", drain.DefaultShutdownTimeout, "`time` for what is left after SIGTERM")
	age := flag.Duration("max-connection-age", 5*time.Minute, "`time` after which a connection is told to go, give or take a tenth")
	grace := flag.Duration("max-connection-age-grace", 30*time.Second, "`time` that its RPCs have then")
	flag.StringVar(&options.Address, "status-addr", drain.DefaultAddress, "`address` to serve /drain-status and /drain on")
	flag.DurationVar(&options.NoticeTime, "notice", drain.DefaultNoticeTime, "`time` over which streams are told to end, where the notification says nothing")
	addr := work.Parse("is gRPC only (example.Work/Do, example.Work/Ticks, health), instead of what follows, and drains with pkg/drain")
	options.MaxConnectionAge = *age // of streams: the connection waits for them
	ctx, stop := work.UntilSignal()
	defer stop()

	d := drain.New(options)
	parameters := keepalive.ServerParameters{MaxConnectionAge: *age, MaxConnectionAgeGrace: *grace}
	work.Exit(run(ctx, d, addr, options.Address, *timeout, parameters))
}

// run serves until ctx is done, and the drain status until the end.
func run(ctx context.Context, d *drain.Drainer, addr, statusAddr string, timeout time.Duration, parameters keepalive.ServerParameters) error {
	var config net.ListenConfig
	status, err := config.Listen(ctx, "tcp", statusAddr)
	if err != nil {
		return err
	}
	ln, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	statusCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- d.ServeStatus(statusCtx, status) }()
	defer func() { stop(); <-ended }()
	return draingrpc.Serve(ctx, d, ln, timeout, func(more ...grpc.ServerOption) *grpc.Server {
		s := grpc.NewServer(append([]grpc.ServerOption{grpc.KeepaliveParams(parameters)}, more...)...)
		grpc_health_v1.RegisterHealthServer(s, health.NewServer())
		s.RegisterService(&service, nil)
		return s
	})
}
