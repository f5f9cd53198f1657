package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// nodeNamespaces are entered in this order: the mount namespace last, since the
// others are opened by paths of the host's.
var nodeNamespaces = []string{"ipc", "uts", "net", "pid", "mnt"}

// Command is a program to run inside the node, with the node's file tree,
// network and processes around it.
type Command struct {
	Args   []string
	Dir    string // working directory, the state directory if empty
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// Exec runs cmd inside the node of the running cluster and waits for it. The error
// is an *exec.ExitError when the program ran and failed.
func (c *Cluster) Exec(ctx context.Context, cmd Command) error {
	s, err := c.readState()
	if err != nil {
		return err
	}
	if !s.alive() {
		return fmt.Errorf("no cluster is up in %s", c.Dir)
	}
	return c.execIn(ctx, s, cmd)
}

func (c *Cluster) execIn(ctx context.Context, s *state, cmd Command) error {
	if len(cmd.Args) == 0 {
		return errors.New("no command given")
	}
	bin, err := c.BinDir()
	if err != nil {
		return err
	}
	env := append(nodeEnv(&spec{Dir: c.Dir, Bin: bin}), "TERM="+os.Getenv("TERM"))
	started := make(chan error, 1)
	var process *exec.Cmd
	// Only one thread enters the namespaces, starts the program and ends: a
	// goroutine that stays locked takes its thread with it.
	go func() {
		runtime.LockOSThread()
		if err := enter(s.PID); err != nil {
			started <- err
			return
		}
		process = nodeCommand(ctx, cmd, env, c.Dir)
		started <- process.Start()
	}()
	if err := <-started; err != nil {
		return err
	}
	return process.Wait()
}

// nodeCommand looks the program up on the node's PATH, not on ours.
func nodeCommand(ctx context.Context, cmd Command, env []string, dir string) *exec.Cmd {
	process := exec.CommandContext(ctx, "/usr/bin/env", cmd.Args...)
	process.Env = env
	process.Dir = dir
	if cmd.Dir != "" {
		process.Dir = cmd.Dir
	}
	process.Stdin, process.Stdout, process.Stderr = cmd.Stdin, cmd.Stdout, cmd.Stderr
	return process
}

// enter moves the calling thread into the namespaces of a process. It must never
// run anything else afterwards.
func enter(pid int) error {
	var files []*os.File
	for _, name := range nodeNamespaces {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", pid, name))
		if err != nil {
			return fmt.Errorf("the node: %w", err)
		}
		defer f.Close()
		files = append(files, f)
	}
	// A thread that shares its root and working directory cannot change mounts.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("enter the node: %w", err)
	}
	for _, f := range files {
		if err := unix.Setns(int(f.Fd()), 0); err != nil {
			return fmt.Errorf("enter the node (%s): %w", f.Name(), err)
		}
	}
	return nil
}
