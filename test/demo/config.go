// Package demo shows on real pods and real traffic what a rollout costs without
// a DrainPolicy, with the usual fixed sleep, and with a DrainPolicy.
//
// A cell is one workload under one treatment: replicas behind a Service, load
// on it, and rolling restarts under that load. Cells of one treatment run at
// the same time, each in a namespace of its own.
//
// A second chapter does the same with three grace periods, and drains a node:
// see GraceConfig.
package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/drain-operator/drain-operator/test/load"
)

// Treatment is what is done about cut requests.
type Treatment string

// The treatments.
const (
	// None leaves the workload as its author wrote it.
	None Treatment = "none"
	// Sleep adds the fixed preStop sleep that people use.
	Sleep Treatment = "sleep"
	// Policy applies the example's DrainPolicy.
	Policy Treatment = "policy"
)

// Title is the treatment in words.
func (t Treatment) Title() string {
	return map[Treatment]string{None: "no policy", Sleep: fmt.Sprintf("sleep %d", sleepSeconds), Policy: "DrainPolicy"}[t]
}

// sleepSeconds is the length of the fixed hook, a usual one.
const sleepSeconds = 15

// The example workloads that the demo judges.
const (
	// Abrupt exits at once on SIGTERM.
	Abrupt = "abrupt"
	// Shutdown finishes its requests on SIGTERM with http.Server.Shutdown.
	Shutdown = "shutdown"
	// SDK drains with pkg/drain.
	SDK = "sdk"
)

// Chapter is a part of the demo that can be run by itself.
type Chapter string

// The chapters.
const (
	ChapterRollout Chapter = "rollout"
	ChapterGrace   Chapter = "grace"
)

// Config says what to run.
type Config struct {
	Chapters []Chapter
	Grace    GraceConfig
	// Image has the example workloads and the load generator.
	Image string
	// Examples is the folder with <workload>/deployment.yaml and drainpolicy.yaml.
	Examples   string
	Workloads  []string
	Treatments []Treatment
	// Restarts is the number of rolling restarts per cell.
	Restarts int
	Replicas int32
	// MaxSurge and MaxUnavailable of the Deployments.
	MaxSurge, MaxUnavailable int32
	// Load is sent to each workload; its target is filled in.
	Load load.Config
	// MinRequests is how many requests of the judged kind each judged workload
	// gets under the policy at least: load goes on until then.
	MinRequests int
	// Warmup is the load before the first restart, Settle the load after the
	// last old pod of each restart has gone.
	Warmup, Settle time.Duration
	// RestartTimeout bounds one restart, until its last old pod is gone.
	RestartTimeout time.Duration
}

// Has says whether a chapter is to be run.
func (c Config) Has(chapter Chapter) bool { return slices.Contains(c.Chapters, chapter) }

// Default is the whole demo, in less than ten minutes on two cores.
func Default() Config {
	l := load.Mixed("")
	// About 200 a second per workload, which leaves two cores time for the rest.
	l.FreshPerSecond, l.KeepAlivePerSecond, l.KeepAliveConns, l.BusyConns = 140, 50, 20, 2
	return Config{
		Chapters:    []Chapter{ChapterRollout, ChapterGrace},
		Grace:       DefaultGrace(),
		Examples:    "examples",
		Workloads:   []string{Abrupt, Shutdown, SDK},
		Treatments:  []Treatment{None, Sleep, Policy},
		Restarts:    2,
		Replicas:    4,
		MaxSurge:    1,
		Load:        l,
		MinRequests: 20_000,
		Warmup:      4 * time.Second, Settle: 4 * time.Second,
		RestartTimeout: 3 * time.Minute,
	}
}

func (c Config) check() error {
	if c.Image == "" {
		return fmt.Errorf("demo: no image of the example workloads is given")
	}
	for _, chapter := range c.Chapters {
		if chapter != ChapterRollout && chapter != ChapterGrace {
			return fmt.Errorf("demo: unknown chapter %q", chapter)
		}
	}
	if len(c.Chapters) == 0 {
		return fmt.Errorf("demo: no chapter is asked for")
	}
	if c.Has(ChapterRollout) {
		return c.checkRollouts()
	}
	return nil
}

func (c Config) checkRollouts() error {
	for _, t := range c.Treatments {
		if !slices.Contains([]Treatment{None, Sleep, Policy}, t) {
			return fmt.Errorf("demo: unknown treatment %q", t)
		}
	}
	if c.Restarts < 1 || c.Replicas < 1 || len(c.Workloads) == 0 || len(c.Treatments) == 0 {
		return fmt.Errorf("demo: nothing to do with %d restarts of %d replicas of %v under %v", c.Restarts, c.Replicas, c.Workloads, c.Treatments)
	}
	return nil
}

// judged is the traffic of a workload in which a policy may drop nothing: all
// of it, or only fresh connections, because of what the server itself does to
// persistent ones. ok is false for workloads of which nothing is demanded.
func judged(workload string) (filter func(load.Record) bool, what string, ok bool) {
	switch workload {
	case SDK:
		return func(load.Record) bool { return true }, "all connections", true
	case Shutdown:
		return load.OnFresh, "fresh connections", true
	}
	return nil, "", false
}
