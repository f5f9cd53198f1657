// Command shutdown is a workload that does what net/http offers for a graceful
// end: on SIGTERM it stops listening, closes idle connections, and finishes the
// requests in flight. It knows nothing of drain-operator.
package main

import (
	"context"
	"flag"
	"net/http"
	"time"

	"github.com/drain-operator/drain-operator/examples/internal/work"
)

func main() {
	timeout := flag.Duration("timeout", 25*time.Second, "`time` for requests in flight after SIGTERM")
	addr := work.Parse("shuts its server down on SIGTERM, and then exits")
	ctx, stop := work.UntilSignal()
	defer stop()

	srv := work.Server(addr)
	served := make(chan error, 1)
	go func() { served <- srv.ListenAndServe() }()
	select {
	case err := <-served:
		work.Exit(err)
	case <-ctx.Done():
		work.Exit(shutDown(srv, *timeout))
	}
}

func shutDown(srv *http.Server, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return srv.Shutdown(ctx)
}
