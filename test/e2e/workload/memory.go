package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
)

// ballast keeps the memory in use that a test asked for.
var ballast [][]byte

// fillMemory grows until the process is as large as asked, what the Go runtime
// needs for itself included.
func fillMemory(mib int) {
	if mib == 0 {
		return
	}
	// The ballast is no garbage; what requests leave behind is collected as
	// soon as there is a little of it, so that this server itself stays put.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(int64(mib) << 20)
	for residentMiB() < mib {
		block := bytes.Repeat([]byte{1}, 256<<10)
		ballast = append(ballast, block)
	}
	fmt.Printf("{\"event\":\"filled\",\"residentMiB\":%d}\n", residentMiB())
}

// residentMiB is the resident set as the kernel counts it, in whole MiB.
func residentMiB() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err) // Linux always has it
	}
	var size, resident int
	if _, err := fmt.Sscan(string(statm), &size, &resident); err != nil {
		panic(err)
	}
	return resident * os.Getpagesize() >> 20
}
