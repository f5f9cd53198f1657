package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// state is what the commands of one cluster leave for each other.
type state struct {
	// PID of the supervisor as the host sees it. 0 before it was started.
	PID int `json:"pid"`
	// StartTime of that process in clock ticks since boot, which tells it from
	// a later process with the same number.
	StartTime uint64 `json:"startTime"`
	// BootID tells a running cluster from one before a reboot.
	BootID string `json:"bootID"`
	// Port on the host's loopback address that leads to kube-apiserver.
	Port int `json:"port"`
	// Ready is set once everything answered.
	Ready bool `json:"ready"`
}

func (c *Cluster) readState() (*state, error) {
	data, err := os.ReadFile(c.path("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return &state{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.path("state.json"), err)
	}
	return s, nil
}

// writeState replaces the state as a whole, so that a crash leaves the old or
// the new one.
func (c *Cluster) writeState(s *state) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	tmp := c.path("state.json.tmp")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return os.Rename(tmp, c.path("state.json"))
}

// alive says whether the recorded supervisor still runs. A zombie does not count:
// when all of its threads have ended, so has everything in its namespaces.
func (s *state) alive() bool {
	if s.PID == 0 || s.BootID != bootID() {
		return false
	}
	start, zombie, err := procStat(s.PID)
	return err == nil && !zombie && start == s.StartTime
}

func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(data))
}

// procStat reads the fields 3 (state), 20 (threads) and 22 (start time) of
// /proc/<pid>/stat. The second field may itself hold spaces and brackets, so it
// looks after the last one. The first thread of a process can be a zombie while
// others are still at work, the last one ending a PID namespace, say.
func procStat(pid int) (startTime uint64, zombie bool, err error) {
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, false, err
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return 0, false, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	ended := fields[0][0] == 'Z' || fields[0][0] == 'X'
	threads, err := strconv.Atoi(string(fields[17]))
	if err != nil {
		return 0, false, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	startTime, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return startTime, ended && threads <= 1, err
}

// lock keeps other commands away from the state directory, which it makes when
// it is not there, until unlock is called or this process ends.
func (c *Cluster) lock() (unlock func(), err error) {
	for {
		if err := os.MkdirAll(c.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		dir, err := os.Open(c.Dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
		if err := c.flockAloud(dir); err != nil {
			dir.Close()
			return nil, fmt.Errorf("lock %s: %w", c.Dir, err)
		}
		if sameFile(dir, c.Dir) {
			return func() { dir.Close() }, nil
		}
		dir.Close() // someone took the cluster down while we waited
	}
}

// flockAloud says so when it has to wait.
func (c *Cluster) flockAloud(dir *os.File) error {
	err := flock(dir, unix.LOCK_EX|unix.LOCK_NB)
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	fmt.Fprintf(c.Log, "another command works on %s; waiting for it…\n", c.Dir)
	return flock(dir, unix.LOCK_EX)
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

func flock(f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// supervisorLock is the file on which a supervisor holds a lock for as long as
// it lives: inherited from whoever started it, so there is no moment without it.
func (c *Cluster) supervisorLock() (*os.File, error) {
	return os.OpenFile(c.path("supervisor.lock"), os.O_CREATE|os.O_RDWR, 0o600)
}

// awaitNoSupervisor waits until no supervisor runs on the state directory.
func (c *Cluster) awaitNoSupervisor(timeout time.Duration) error {
	f, err := c.supervisorLock()
	if err != nil {
		return err
	}
	defer f.Close()
	for deadline := time.Now().Add(timeout); ; time.Sleep(20 * time.Millisecond) {
		err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return fmt.Errorf("the old supervisor of %s does not end: %w", c.Dir, err)
		}
	}
}
