package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"
)

// maxExits is how often a component may end on its way up.
const maxExits = 5

// awaitReady waits until pods can be created, started and reached.
func (c *Cluster) awaitReady(ctx context.Context, p *progress, st *state) error {
	paused := make(chan error, 1)
	go func() { paused <- c.loadPauseImage(ctx, st) }()
	if err := c.awaitComponents(ctx, p, st); err != nil {
		return err
	}
	if err := <-paused; err != nil {
		return fmt.Errorf("pause image: %w", err)
	}
	waits := [][]string{
		{"wait", "--for=create", "node/" + NodeName},
		{"wait", "--for=condition=Ready", "node/" + NodeName},
		{"wait", "--for=create", "serviceaccount/default", "--namespace=default"},
	}
	for _, args := range waits {
		if err := c.kubectl(ctx, append(args, "--timeout=60s")...); err != nil {
			return err
		}
	}
	p.step("node %s is Ready", NodeName)
	return nil
}

// awaitComponents tells of each component that becomes ready.
func (c *Cluster) awaitComponents(ctx context.Context, p *progress, st *state) error {
	told := map[string]bool{}
	for {
		if !st.alive() {
			return errors.New("the node ended while it started")
		}
		all, err := c.Components(ctx)
		ready := 0
		for _, status := range all {
			if status.State == "ready" {
				ready++
				if !told[status.Name] {
					told[status.Name] = true
					p.step("%s is ready", status.Name)
				}
			}
			if status.Exits >= maxExits {
				return fmt.Errorf("%s ended %d times: %s", status.Name, status.Exits, status.Reason)
			}
		}
		if err == nil && ready == len(all) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the components did not become ready: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// explain shows the logs of what is not ready.
func (c *Cluster) explain(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	text := []string{c.logTail("supervisor")}
	all, err := c.Components(ctx)
	if err != nil {
		return text[0]
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	for _, status := range all {
		if status.State != "ready" && status.State != "waiting" {
			text = append(text, fmt.Sprintf("%s is %s: %s", status.Name, status.State, status.Reason), c.logTail(status.Name))
		}
	}
	return strings.Join(text, "\n")
}

// saveLogs copies the logs to $CLUSTER_LOGS, where that is set, before they go.
func (c *Cluster) saveLogs() error {
	target := os.Getenv("CLUSTER_LOGS")
	if target == "" {
		return nil
	}
	target = filepath.Join(target, time.Now().UTC().Format("20060102T150405"))
	if err := os.CopyFS(target, os.DirFS(c.Logs())); err != nil {
		return fmt.Errorf("save logs: %w", err)
	}
	fmt.Fprintf(c.Log, "logs are in %s\n", target)
	return nil
}
