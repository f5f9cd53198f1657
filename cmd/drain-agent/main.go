// Command drain-agent runs in pods: as a preStop hook it keeps a container alive
// until its pod has drained. docs/agent.md describes it.
package main

import (
	"os"
	"runtime"
	"runtime/debug"

	"github.com/drain-operator/drain-operator/internal/agent"
)

const (
	// The agent shares the workload's cgroup: one thread at a time, and a small
	// heap that is collected early. Both bounds are soft.
	memoryLimit = 8 << 20
	gcPercent   = 50
)

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetMemoryLimit(memoryLimit)
	debug.SetGCPercent(gcPercent)
	os.Exit(agent.Main(os.Args[1:], os.Stdout, os.Stderr))
}
