package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Report is one line of what happened. The suite reads it from the container's
// termination message, which outlives the pod's logs; test/e2e/framework has
// its twin.
type Report struct {
	Event        string    `json:"event"` // started, stop, sigterm or exit
	At           time.Time `json:"at"`
	InFlight     int       `json:"inFlight"`
	Served       int       `json:"served"`
	Notified     bool      `json:"notified,omitempty"`
	LastRequest  time.Time `json:"lastRequest,omitzero"`
	LastResponse time.Time `json:"lastResponse,omitzero"`
}

// reportPrefix starts each line in the termination message.
const reportPrefix = "workload: "

type reporter struct{ path string }

func newReporter(path string) *reporter { return &reporter{path: path} }

// write puts the report into the logs and, except for the first, into the file.
func (r *reporter) write(report Report) {
	line, err := json.Marshal(report)
	if err != nil {
		panic(err) // times and numbers always encode
	}
	fmt.Printf("%s\n", line)
	if r.path == "" || report.Event == "started" {
		return
	}
	f, err := os.OpenFile(r.path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		return
	}
	defer f.Close()
	fmt.Fprintf(f, "%s%s\n", reportPrefix, line)
}
