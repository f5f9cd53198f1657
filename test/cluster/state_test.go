package cluster

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func thisProcess(t *testing.T) *state {
	t.Helper()
	start, zombie, err := procStat(os.Getpid())
	if err != nil || zombie {
		t.Fatalf("own process: zombie %v, %v", zombie, err)
	}
	return &state{PID: os.Getpid(), StartTime: start, BootID: bootID()}
}

func TestAlive(t *testing.T) {
	tests := map[string]struct {
		change func(*state)
		want   bool
	}{
		"this process":                   {change: func(*state) {}, want: true},
		"never started":                  {change: func(s *state) { s.PID = 0 }},
		"another process by that number": {change: func(s *state) { s.StartTime-- }},
		"before a reboot":                {change: func(s *state) { s.BootID = "another" }},
		"no such process":                {change: func(s *state) { s.PID = 1 << 30 }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := thisProcess(t)
			test.change(s)
			if got := s.alive(); got != test.want {
				t.Errorf("alive() = %v", got)
			}
		})
	}
}

func TestZombieIsNotAlive(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	start, _, err := procStat(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	s := &state{PID: cmd.Process.Pid, StartTime: start, BootID: bootID()}
	if !s.alive() {
		t.Error("a running process is not alive")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }() // until then it is a zombie
	if err := awaitGone(s, 10*time.Second); err != nil {
		t.Error(err)
	}
}

func TestLockSurvivesRemoval(t *testing.T) {
	c := &Cluster{Dir: t.TempDir() + "/state", Log: os.Stderr}
	unlock, err := c.lock()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		unlock2, err := c.lock()
		if err == nil {
			_, err = os.Stat(c.Dir)
			unlock2()
		}
		second <- err
	}()
	// The one that waits must end up with a directory that exists.
	if err := os.Remove(c.Dir); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-second; err != nil {
		t.Error(err)
	}
}
