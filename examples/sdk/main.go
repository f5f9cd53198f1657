// Command sdk is a workload with pkg/drain: it says what it still owes, tells
// clients to go elsewhere while it drains, and ends gracefully.
package main

import (
	"flag"

	"github.com/drain-operator/drain-operator/examples/internal/work"
	"github.com/drain-operator/drain-operator/pkg/drain"
)

func main() {
	var options drain.Options
	flag.StringVar(&options.Address, "status-addr", drain.DefaultAddress, "`address` to serve /drain-status and /drain on")
	flag.DurationVar(&options.ShutdownTimeout, "timeout", drain.DefaultShutdownTimeout, "`time` for what is left after SIGTERM")
	addr := work.Parse("drains with pkg/drain, and shuts down on SIGTERM")
	ctx, stop := work.UntilSignal()
	defer stop()

	work.Exit(drain.New(options).Run(ctx, work.Server(addr)))
}
