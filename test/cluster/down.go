package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Down ends the cluster and removes everything of it, whatever state it is in.
func (c *Cluster) Down(context.Context) error {
	if _, err := os.Stat(c.Dir); errors.Is(err, fs.ErrNotExist) {
		// A crash may have left the cgroups alone.
		return removeCgroups(c.cgroupRoot())
	}
	if err := canRun(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	p := newProgress(c.Log)
	s, err := c.readState()
	if err != nil {
		s = &state{}
	}
	if err := c.removeRemains(s); err != nil {
		return err
	}
	if err := os.Remove(c.Dir); err != nil {
		return fmt.Errorf("remove state directory: %w", err)
	}
	p.step("the cluster in %s is gone", c.Dir)
	return nil
}

// removeRemains ends the node and empties the state directory, which the caller
// has locked. When process 1 of a PID namespace is gone, the kernel has killed
// and collected all others in it, and let go of mounts, interfaces and tables.
func (c *Cluster) removeRemains(s *state) error {
	if s.alive() {
		if err := unix.Kill(s.PID, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the node: %w", err)
		}
	}
	if err := c.awaitNoSupervisor(30 * time.Second); err != nil {
		return err
	}
	if err := awaitGone(s, 30*time.Second); err != nil {
		return err
	}
	if err := removeCgroups(c.cgroupRoot()); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(c.Dir, e.Name())); err != nil {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	return nil
}

func awaitGone(s *state, timeout time.Duration) error {
	for deadline := time.Now().Add(timeout); s.alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d does not end", s.PID)
		}
	}
	return nil
}
