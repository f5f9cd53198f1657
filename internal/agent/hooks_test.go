package agent

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/drain-operator/drain-operator/internal/hold"
)

func TestExistingHooks(t *testing.T) {
	t.Parallel()
	const s = time.Second
	var path atomic.Value
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.Host + r.URL.Path + r.Header.Get("X-Mine"))
		w.WriteHeader(http.StatusNotFound) // says nothing, as with the kubelet
	})
	mark := filepath.Join(t.TempDir(), "mark")
	tests := map[string]struct {
		hook     hold.ExistingHook
		bound    int32
		outcome  string
		earliest time.Duration
		ran      func() bool
	}{
		"sleep first":            {hold.ExistingHook{SleepSeconds: 2}, 30, hold.OutcomeDrained, 2 * s, nil},
		"sleep last":             {hold.ExistingHook{SleepSeconds: 2, Last: true}, 30, hold.OutcomeDrained, 3 * s, nil},
		"exec first":             {hold.ExistingHook{Exec: []string{"touch", mark + "1"}}, 30, hold.OutcomeDrained, s, exists(mark + "1")},
		"exec last":              {hold.ExistingHook{Exec: []string{"touch", mark + "2"}, Last: true}, 30, hold.OutcomeDrained, s, exists(mark + "2")},
		"exec that fails":        {hold.ExistingHook{Exec: []string{"false"}}, 30, hold.OutcomeDrained, s, nil},
		"exec that is not there": {hold.ExistingHook{Exec: []string{"/none"}}, 30, hold.OutcomeDrained, s, nil},
		"exec without end":       {hold.ExistingHook{Exec: []string{"sleep", "60"}}, 3, hold.OutcomeTimedOut, 3 * s, nil},
		"http first": {hold.ExistingHook{
			Port: port, HTTPPath: "/bye", Headers: []hold.Header{{Name: "Host", Value: "me"}, {Name: "X-Mine", Value: "!"}},
		}, 30, hold.OutcomeDrained, s, func() bool { return path.Load() == "me/bye!" }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := wait(t, spec(func(sp *hold.Spec) { sp.Existing, sp.BoundSeconds = &tc.hook, tc.bound }))
			check(t, got, tc.outcome, tc.earliest, tc.earliest)
			if last := got.LastHookSeconds; (last > 0) != tc.hook.Last || last < float64(tc.hook.SleepSeconds) && tc.hook.Last {
				t.Errorf("the hook that runs last took %v s, it says", last)
			}
			if tc.ran != nil && !tc.ran() {
				t.Error("the hook did not run as it should")
			}
		})
	}
}

func exists(path string) func() bool {
	return func() bool { _, err := os.Stat(path); return err == nil }
}

// The hook that runs first comes before the notification, which may close what
// the hook needs.
func TestHookBeforeNotification(t *testing.T) {
	t.Parallel()
	var hookDone, early atomic.Bool
	port := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hook":
			time.Sleep(300 * ms)
			hookDone.Store(true)
		case "/drain":
			early.Store(!hookDone.Load())
		}
	})
	wait(t, spec(func(s *hold.Spec) {
		s.Existing = &hold.ExistingHook{Port: port, HTTPPath: "/hook"}
		s.Notify = &hold.Notify{Port: port, Path: "/drain"}
	}))
	if !hookDone.Load() || early.Load() {
		t.Errorf("hook ran: %v, notified before its end: %v", hookDone.Load(), early.Load())
	}
}

// A dead container is let go, since it is restarted and not drained; one that
// lives is held, however busy.
func TestAlive(t *testing.T) {
	const s = time.Second
	dead := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	failing := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	var tries atomic.Int32
	recovering := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if tries.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	refusing := serve(t, func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(code)
	})
	redirecting := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) })
	rude := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	closed, _ := reserved(t)
	full := crowded(t)
	tests := map[string]struct {
		probe    hold.Probe
		outcome  string
		earliest time.Duration
		latest   time.Duration
	}{
		"hangs":                  {hold.Probe{Port: dead, HTTPPath: "/", PeriodSeconds: 1, TimeoutSeconds: 1}, hold.OutcomeSkipped, 3 * s, 3 * s},
		"hangs, not for long":    {hold.Probe{Port: dead, HTTPPath: "/", TimeoutSeconds: 1}, hold.OutcomeDrained, 8 * s, 8 * s},
		"hangs up":               {hold.Probe{Port: rude, HTTPPath: "/"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"is not to be reached":   {hold.Probe{Port: full, TimeoutSeconds: 3}, hold.OutcomeDrained, 8 * s, 8 * s},
		"answers 503":            {hold.Probe{Port: failing, HTTPPath: "/"}, hold.OutcomeSkipped, 2 * s, 2 * s},
		"answers 400":            {hold.Probe{Port: refusing, HTTPPath: "/400"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"answers 401":            {hold.Probe{Port: refusing, HTTPPath: "/401"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"answers 404":            {hold.Probe{Port: refusing, HTTPPath: "/404"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"answers the third time": {hold.Probe{Port: recovering, HTTPPath: "/"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"redirects":              {hold.Probe{Port: redirecting, HTTPPath: "/"}, hold.OutcomeDrained, 8 * s, 8 * s},
		"nothing listens":        {hold.Probe{Port: closed}, hold.OutcomeSkipped, 2 * s, 2 * s},
		"listens":                {hold.Probe{Port: dead}, hold.OutcomeDrained, 8 * s, 8 * s},
		"command fails":          {hold.Probe{Exec: []string{"false"}}, hold.OutcomeSkipped, 2 * s, 2 * s},
		"command fails late":     {hold.Probe{Exec: []string{"sh", "-c", "sleep 1.2; false"}}, hold.OutcomeDrained, 8 * s, 8 * s},
		"command hangs":          {hold.Probe{Exec: []string{"sleep", "60"}, TimeoutSeconds: 1}, hold.OutcomeDrained, 8 * s, 8 * s},
		"command succeeds":       {hold.Probe{Exec: []string{"true"}}, hold.OutcomeDrained, 8 * s, 8 * s},
		"gRPC is not looked at":  {hold.Probe{Port: closed, GRPC: true}, hold.OutcomeDrained, 8 * s, 8 * s},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.probe.FailureThreshold = 3
			tc.probe.PeriodSeconds, tc.probe.TimeoutSeconds = cmp.Or(tc.probe.PeriodSeconds, 10), cmp.Or(tc.probe.TimeoutSeconds, 20)
			got := wait(t, spec(func(sp *hold.Spec) {
				sp.Alive, sp.PropagationSeconds, sp.PropagationMaxSeconds = &tc.probe, 8, 8
			}))
			check(t, got, tc.outcome, tc.earliest, tc.latest)
		})
	}
}

// crowded is a port of an IPv4 listener whose queue is full: what connects to it
// gets no answer, and at the IPv6 loopback nobody listens.
func crowded(t *testing.T) int32 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	address, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := int32(address.(*unix.SockaddrInet4).Port)
	dialPort(t, port, "")
	return port
}

func TestFollow(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "")
	var closed atomic.Int64
	go func() {
		time.Sleep(2 * time.Second)
		closed.Store(time.Now().UnixNano())
		_ = l.Close()
	}()
	got := wait(t, spec(func(s *hold.Spec) { s.Role, s.ServePorts = hold.RoleFollow, []int32{port} }))
	at := closed.Load()
	check(t, got, hold.OutcomeDrained, 0, 2400*ms)
	if at == 0 {
		t.Error("it did not wait for the one that serves")
	}
	notBefore(t, got, time.Unix(0, at))
}

func TestFollowToItsBound(t *testing.T) {
	t.Parallel()
	_, port := listen(t, "")
	got := wait(t, spec(func(s *hold.Spec) { s.Role, s.ServePorts, s.BoundSeconds = hold.RoleFollow, []int32{port}, 5 }))
	check(t, got, hold.OutcomeTimedOut, 3*time.Second, 3*time.Second)
}
