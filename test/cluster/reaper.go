package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper starts processes and waits for all children of this process, also for
// those that it inherits as process 1. Nothing else here may wait for children.
type reaper struct {
	mu      sync.Mutex
	waiters map[int]chan syscall.WaitStatus
	closed  bool
}

func newReaper() *reaper { return &reaper{waiters: map[int]chan syscall.WaitStatus{}} }

// start runs a program in a session of its own. The channel gets its exit status.
func (r *reaper) start(path string, args, env []string, output *os.File) (int, <-chan syscall.WaitStatus, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, nil, errors.New("the node is going down")
	}
	pid, err := syscall.ForkExec(path, append([]string{path}, args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   env,
		Files: []uintptr{null.Fd(), output.Fd(), output.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", path, err)
	}
	exited := make(chan syscall.WaitStatus, 1)
	r.waiters[pid] = exited
	return pid, exited, nil
}

// run reaps until the process ends.
func (r *reaper) run() {
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	for range children {
		r.reap()
	}
}

// reap collects everyone who has exited. Signals of several may have been one.
func (r *reaper) reap() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if exited, ok := r.waiters[pid]; ok {
			exited <- status
			delete(r.waiters, pid)
		}
	}
}

// killAll ends every other process of the PID namespace and waits for them.
func (r *reaper) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	_ = unix.Kill(-1, unix.SIGKILL)
	for {
		_, err := syscall.Wait4(-1, nil, 0, nil)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return // ECHILD: none left
		}
	}
}
