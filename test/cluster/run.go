package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Run runs a program of the host with KUBECONFIG set: on the cluster that is up,
// or on one that it brings up before and takes down afterwards. If this process
// is killed, the kernel ends what it started.
func (c *Cluster) Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	lifeline, err := c.up(ctx)
	if err != nil {
		return err
	}
	err = c.runProgram(ctx, args, stdin, stdout, stderr)
	if lifeline == nil {
		return err
	}
	if err != nil {
		err = errors.Join(err, c.saveLogs())
	}
	defer lifeline.Close()
	return errors.Join(err, c.Down(context.WithoutCancel(ctx)))
}

func (c *Cluster) runProgram(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	bin, err := c.BinDir()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+c.Kubeconfig(),
		"CLUSTER_DIR="+c.Dir,
		"PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	// The program must not go on without its cluster. The signal comes when the
	// thread that started it ends, so that one has to stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd.Run()
}

func (c *Cluster) kubectl(ctx context.Context, args ...string) error {
	bin, err := c.BinDir()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin+"/kubectl", append(args, "--kubeconfig="+c.Kubeconfig())...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl %v: %w: %s", args, err, output.Bytes())
	}
	return nil
}
