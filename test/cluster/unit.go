package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	probePeriod  = 100 * time.Millisecond
	restartPause = time.Second
	// stopTimeout is how long a component may take to end by itself: kube-apiserver
	// would wait for its watches.
	stopTimeout = 5 * time.Second
)

// Status is what the supervisor tells of one component.
type Status struct {
	Name string `json:"name"`
	// State is waiting, starting, ready, exited or stopped.
	State string `json:"state"`
	// PID inside the node. 0 when it does not run.
	PID int `json:"pid"`
	// Exits counts those that nobody asked for.
	Exits int `json:"exits"`
	// Reason of the last exit, or of not being ready.
	Reason string `json:"reason,omitempty"`
}

// unit keeps one component running, unless it is told not to.
type unit struct {
	component
	reaper *reaper
	logs   string
	env    []string

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	status  Status
	want    bool
}

func newUnit(c component, r *reaper, logs string, env []string) *unit {
	return &unit{
		component: c, reaper: r, logs: logs, env: env,
		changed: make(chan struct{}),
		status:  Status{Name: c.name, State: "waiting"},
		want:    true,
	}
}

func (u *unit) update(change func(*Status)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(&u.status)
	close(u.changed)
	u.changed = make(chan struct{})
}

// look returns the status, and a channel that is closed at the next change.
func (u *unit) look() (status Status, want bool, changed <-chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.status, u.want, u.changed
}

func (u *unit) setWanted(want bool) {
	u.mu.Lock()
	u.want = want
	u.mu.Unlock()
	u.update(func(*Status) {})
}

// await returns once the component is in the wanted state.
func (u *unit) await(ctx context.Context, state string) error {
	for {
		status, _, changed := u.look()
		if status.State == state {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%s is %s, not %s: %s: %w", u.name, status.State, state, status.Reason, ctx.Err())
		}
	}
}

// run starts the component after those that it needs, again and again.
func (u *unit) run(needs []*unit) {
	for _, n := range needs {
		_ = n.await(context.Background(), "ready")
	}
	for {
		u.awaitWanted()
		if err := u.once(); err != nil {
			u.update(func(s *Status) { s.State, s.PID, s.Reason = "exited", 0, err.Error(); s.Exits++ })
			time.Sleep(restartPause)
		}
	}
}

func (u *unit) awaitWanted() {
	for {
		status, want, changed := u.look()
		if want {
			return
		}
		if status.State == "stopped" {
			<-changed
			continue
		}
		u.update(func(s *Status) { s.State = "stopped" })
	}
}

// once runs the component until it exits, which is an error unless it was told to.
func (u *unit) once() error {
	log, err := os.OpenFile(filepath.Join(u.logs, u.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	pid, exited, err := u.reaper.start(u.path, u.args, u.env, log)
	if err != nil {
		return err
	}
	u.update(func(s *Status) { s.State, s.PID = "starting", pid })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go u.watchReady(ctx)
	for {
		_, want, changed := u.look()
		if !want {
			cancel()
			terminate(pid, exited)
			u.update(func(s *Status) { s.State, s.PID, s.Reason = "stopped", 0, "" })
			return nil
		}
		select {
		case status := <-exited:
			return describeExit(status)
		case <-changed:
		}
	}
}

func (u *unit) watchReady(ctx context.Context) {
	for ctx.Err() == nil {
		err := u.ready(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			u.update(func(s *Status) { s.State, s.Reason = "ready", "" })
			return
		}
		u.update(func(s *Status) { s.Reason = err.Error() })
		select {
		case <-ctx.Done():
		case <-time.After(probePeriod):
		}
	}
}

// terminate asks first. The process is waited for by the reaper, so its number
// cannot have been given to another before exited has a value.
func terminate(pid int, exited <-chan syscall.WaitStatus) {
	_ = unix.Kill(pid, unix.SIGTERM)
	select {
	case <-exited:
	case <-time.After(stopTimeout):
		_ = unix.Kill(pid, unix.SIGKILL)
		<-exited
	}
}

func describeExit(status syscall.WaitStatus) error {
	if status.Signaled() {
		return fmt.Errorf("killed by %s", status.Signal())
	}
	return fmt.Errorf("exited with code %d", status.ExitStatus())
}
