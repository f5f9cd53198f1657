// Command abrupt is a workload that exits at once on SIGTERM, whatever it still
// owes. Many real ones do.
package main

import (
	"os"

	"github.com/drain-operator/drain-operator/examples/internal/work"
)

func main() {
	addr := work.Parse("exits at once on SIGTERM")
	ctx, stop := work.UntilSignal()
	defer stop()
	go func() {
		<-ctx.Done()
		os.Exit(0)
	}()
	work.Exit(work.Server(addr).ListenAndServe())
}
