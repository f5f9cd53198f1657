package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/test/e2e/framework"
	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/guarantees/runner"
)

// cost of cells as seen on a machine of 2 cores, three workloads at a time.
func (o options) cost() guarantees.Cost {
	load := runner.DefaultLoad()
	perEvent := func(requests int) time.Duration {
		// Busy connections follow the answers: they take half as long again.
		return max(25*time.Second, time.Duration(1.2*float64(requests)/(load.FreshPerSecond*o.rate)*float64(time.Second))) + 15*time.Second
	}
	return guarantees.Cost{Setup: 25 * time.Second, Event: perEvent(o.requests), Part: perEvent(o.part), Slow: 30 * time.Second}
}

// plan says what is to do, and how long that takes.
func (o options) plan() ([]guarantees.Ground, error) {
	done, err := o.done()
	if err != nil {
		return nil, err
	}
	grounds := o.matrix.Grounds(func(k guarantees.Key) bool { return done[k] })
	cells := 0
	for _, g := range grounds {
		cells += len(g.Events)
		fmt.Printf("%-24s %-8s %-10s %v, about %s\n", g.Server, g.Variant, g.Balancer, g.Events, o.cost().Ground(g).Round(time.Second))
	}
	fmt.Printf("%d cells on %d workloads, %d are done; %d at a time take about %s\n",
		cells, len(grounds), len(done), o.parallel, o.cost().Of(grounds, o.parallel).Round(time.Minute))
	return grounds, nil
}

// done are the cells in the log. Without resume there are none.
func (o options) done() (map[guarantees.Key]bool, error) {
	done := map[guarantees.Key]bool{}
	if !o.resume {
		return done, nil
	}
	entries, err := readLog(o.log)
	for _, e := range entries {
		done[e.Key] = true
	}
	return done, err
}

func readLog(path string) ([]guarantees.Entry, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := guarantees.ReadLog(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return entries, nil
}

// run does what is left of the matrix.
func (o options) run(ctx context.Context) error {
	grounds, err := o.plan()
	if err != nil || len(grounds) == 0 {
		return err
	}
	env, err := framework.Connect()
	if err != nil {
		return err
	}
	l, err := o.openLog(ctx, env)
	if err != nil {
		return err
	}
	defer l.file.Close()
	settings, err := o.settings(env)
	if err != nil {
		return err
	}
	settings.Say, settings.Done = say(), l.add
	return runner.Run(ctx, env, grounds, settings)
}

func (o options) settings(env *framework.Env) (s runner.Settings, err error) {
	images, err := readImages(o.images)
	if err != nil {
		return s, err
	}
	image, err := images.reference("drain-servers")
	if err != nil {
		return s, err
	}
	load := runner.DefaultLoad()
	load.FreshPerSecond *= o.rate
	load.MessageEvery = time.Duration(float64(load.MessageEvery) / o.rate)
	s = runner.Settings{
		Workload: workload(image), Front: front(env, image),
		Replicas: int32(o.replicas), Requests: o.requests, Part: o.part, Load: load, Parallel: o.parallel, Cost: o.cost(),
	}
	s.LoadImage, err = images.reference("drain-examples")
	return s, err
}

// log is the file to which cells are appended.
type log struct {
	mu   sync.Mutex
	file *os.File
	on   guarantees.Entry
}

func (o options) openLog(ctx context.Context, env *framework.Env) (*log, error) {
	if err := os.MkdirAll(filepath.Dir(o.log), 0o755); err != nil {
		return nil, err
	}
	how := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if !o.resume {
		how |= os.O_TRUNC
	}
	on, err := o.on(ctx, env)
	if err != nil {
		return nil, err
	}
	if err := dropIncomplete(o.log); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(o.log, how, 0o644)
	if err != nil {
		return nil, err
	}
	return &log{file: f, on: on}, nil
}

// dropIncomplete removes a last line that a killed run did not write to its end.
func dropIncomplete(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(b) == 0 {
		return nil
	} else if err != nil {
		return err
	}
	return os.Truncate(path, int64(bytes.LastIndexByte(b, '\n')+1))
}

// on is what all cells of a run are seen on.
func (o options) on(ctx context.Context, env *framework.Env) (e guarantees.Entry, err error) {
	version, err := env.Kube.Discovery().ServerVersion()
	if err != nil {
		return e, err
	}
	var nodes corev1.NodeList
	if err := env.Client.List(ctx, &nodes); err != nil {
		return e, err
	}
	for _, n := range nodes.Items {
		e.Cores += int(n.Status.Capacity.Cpu().Value())
	}
	e.Kubernetes = version.GitVersion
	e.Versions, err = versions(o.archive)
	return e, err
}

func (l *log) add(c guarantees.Cell) error {
	e := l.on
	e.Cell = c
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return l.file.Sync()
}

// render takes the log into the results and writes the page.
func (o options) render() error {
	data := guarantees.Data{}
	old, err := os.ReadFile(o.results)
	if err == nil {
		data, err = guarantees.Decode(old)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	entries, err := readLog(o.log)
	if err != nil {
		return err
	}
	data = data.With(entries...)
	encoded, err := data.Encode()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.results), 0o755); err != nil {
		return err
	}
	if err := errors.Join(os.WriteFile(o.results, encoded, 0o644), os.WriteFile(o.page, []byte(guarantees.Page(data)), 0o644)); err != nil {
		return err
	}
	for _, f := range data.Unexplained() {
		fmt.Printf("NOT EXPLAINED %s: %s: %s\n", f.Key, f.Client, f.Cause)
	}
	fmt.Printf("%s has %d cells, of which %d are new or seen again\n", o.page, len(data.Cells), len(entries))
	return nil
}
