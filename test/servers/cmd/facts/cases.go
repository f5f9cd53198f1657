package main

import (
	"fmt"
	"syscall"
	"time"
)

// testCase is a server, how it is told to end, and flags that it gets besides.
type testCase struct {
	name, server string
	signal       syscall.Signal
	flags        []string
}

var cases = []testCase{
	{"Go", "go", syscall.SIGTERM, nil},
	{"Node.js", "node", syscall.SIGTERM, nil},
	{"asyncio", "asyncio", syscall.SIGTERM, nil},
	{"Gunicorn sync", "gunicorn-sync", syscall.SIGTERM, nil},
	{"Gunicorn gthread", "gunicorn-gthread", syscall.SIGTERM, nil},
	{"Gunicorn gthread, `--graceful-timeout 5`", "gunicorn-gthread", syscall.SIGTERM, []string{"--graceful-timeout=5"}},
	{"Gunicorn gevent", "gunicorn-gevent", syscall.SIGTERM, nil},
	{"Gunicorn sync, `SIGQUIT`", "gunicorn-sync", syscall.SIGQUIT, nil},
	{"Gunicorn gthread, `SIGQUIT`", "gunicorn-gthread", syscall.SIGQUIT, nil},
	{"Uvicorn", "uvicorn", syscall.SIGTERM, nil},
	{"Hypercorn", "hypercorn", syscall.SIGTERM, nil},
	{"Hypercorn, `--graceful-timeout 60`", "hypercorn", syscall.SIGTERM, []string{"--graceful-timeout=60"}},
	{"nginx", "nginx", syscall.SIGTERM, nil},
	{"nginx, `SIGQUIT`", "nginx", syscall.SIGQUIT, nil},
	{"HAProxy", "haproxy", syscall.SIGTERM, nil},
	{"HAProxy, `SIGUSR1`", "haproxy", syscall.SIGUSR1, nil},
}

func caseOf(name string) (testCase, error) {
	for _, c := range cases {
		if c.name == name {
			return c, nil
		}
	}
	return testCase{}, fmt.Errorf("no case is called %q", name)
}

// fact is what was seen of one case. Times are from the signal on, but for the
// first two.
type fact struct {
	Name   string
	Signal string
	// KeepAlive is how long an idle connection lasts that nothing is told.
	KeepAlive time.Duration
	// Idle is when an idle connection was closed.
	Idle time.Duration
	// Refused is when the first request on a new connection got no answer, and
	// Hangs that it waited for one in vain.
	Refused time.Duration
	Hangs   bool
	// Short and Long are the ends of requests under way.
	Short, Long answer
	// Ended is when the first process was gone, and Code how it exited.
	Ended time.Duration
	Code  string
}

// answer is the end of a request.
type answer struct {
	At time.Duration
	// Whole: a complete response came, with a status below 500.
	Whole bool
	// Close: it said that it is the last on its connection.
	Close bool
}

func (a answer) String() string {
	switch {
	case !a.Whole:
		return "**cut** after " + seconds(a.At)
	case a.Close:
		return "answered, says close"
	}
	return "answered"
}

func (f fact) row() string {
	untouched := "stays (12 s)"
	if f.KeepAlive > 0 {
		untouched = "closed after " + seconds(f.KeepAlive)
	}
	idle := "ends with the process"
	if f.Idle > 0 {
		idle = "closed after " + seconds(f.Idle)
	}
	refused := "end with the process"
	switch {
	case f.Hangs:
		refused = "taken, not answered after " + seconds(f.Refused)
	case f.Refused > 0:
		refused = "refused after " + seconds(f.Refused)
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | after %s, %s |",
		f.Name, f.Signal, untouched, idle, refused, f.Short, f.Long, seconds(f.Ended), f.Code)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
