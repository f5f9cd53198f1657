package demo

import (
	"fmt"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// Setting is how a grace period was chosen.
type Setting string

// The settings of the chapter on the grace period.
const (
	// Usual is what a pod has of which nobody thought: 30 s.
	Usual Setting = "usual"
	// Short is enough for 98 of 100 requests, and would be for most pods: it
	// forgets that requests found in flight are the longer ones, that new ones go
	// on coming for a while, and the shutdown.
	Short Setting = "short"
	// Tuned leaves it to the operator, which sees the latency.
	Tuned Setting = "tuned"
)

// Seconds of the settings that are fixed.
const (
	usualSeconds = 30
	shortSeconds = 5
)

// Title is the setting in words.
func (s Setting) Title() string {
	return map[Setting]string{
		Usual: fmt.Sprintf("default, %d s", usualSeconds),
		Short: fmt.Sprintf("too short, %d s", shortSeconds),
		Tuned: "tuned",
	}[s]
}

// GraceConfig says what the chapter on the grace period runs: one workload with
// slow requests under several settings, all at the same time.
//
// First the pods of the setting Tuned serve until the operator knows their
// latency, and are restarted until all have the grace that it recommends. Then,
// under load, all workloads are restarted at once, and the node that they are
// on is drained: each time with one pod among them whose drain hangs, because
// its counter of requests in flight has leaked.
type GraceConfig struct {
	// Workload is the folder among the examples.
	Workload string
	Settings []Setting
	Replicas int32
	// Load is sent to each workload; its target is filled in.
	Load load.Config
	// WindowSeconds is how far back the operator looks: demos are short.
	WindowSeconds int64
	// LearnFor is for how long it learns at least, LearnTimeout at most. The
	// operator wants to have seen thousands of requests before it gives pods less
	// than their owner did.
	LearnFor, LearnTimeout time.Duration
	// Tunings bounds the restarts until all pods have what is recommended.
	Tunings int
	// Warmup is the load before the restart, Settle the load after it.
	Warmup, Settle time.Duration
	// RestartTimeout bounds a restart, DrainTimeout the drain of the node.
	RestartTimeout, DrainTimeout time.Duration
	// MinRequests is how many requests a claim needs.
	MinRequests int
}

// DefaultGrace is the whole chapter, in some three minutes on two cores.
func DefaultGrace() GraceConfig {
	return GraceConfig{
		Workload: "tuned",
		Settings: []Setting{Usual, Short, Tuned},
		Replicas: 4,
		Load: load.Config{
			FreshPerSecond: 110, KeepAlivePerSecond: 50, KeepAliveConns: 150, PostPercent: 50, Seed: 1,
			// A pod has some 70 requests in flight at any time. Of these, one or
			// two last longer than the short grace leaves them: were none of
			// them cut in 8 pods, it would be no accident.
			Work: load.Work{MinMillis: 50, MedianMillis: 1500, P99Millis: 5500, MaxMillis: 9500},
		},
		WindowSeconds: 120,
		LearnFor:      60 * time.Second, LearnTimeout: 3 * time.Minute,
		Tunings: 3,
		Warmup:  6 * time.Second, Settle: 2 * time.Second,
		RestartTimeout: 2 * time.Minute, DrainTimeout: 2 * time.Minute,
		MinRequests: 3000,
	}
}
