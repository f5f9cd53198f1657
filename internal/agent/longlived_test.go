package agent

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/pkg/drain"
)

const (
	reconnect = "reconnect\n"
	farewell  = "retry: 100\n"
)

// connections is a workload with an event stream and a socket. Both end when
// they are told to, unless they are deaf.
type connections struct {
	deaf bool
	told atomic.Int64
	end  chan struct{} // ends those that are deaf
}

func (c *connections) handler(t *testing.T) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		drain.LongLived(r)
		_, _ = fmt.Fprintln(w, "hello")
		_ = http.NewResponseController(w).Flush()
		if c.wait(drain.Notice(r.Context())) {
			_, _ = fmt.Fprint(w, farewell)
		}
	})
	mux.HandleFunc("/socket", func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n\r\nhello\n")
		if c.wait(drain.Notice(r.Context())) {
			_, _ = fmt.Fprint(conn, reconnect)
		}
	})
	return mux
}

// wait returns when the connection is to end, and whether its client is to know.
func (c *connections) wait(notice <-chan struct{}) bool {
	if c.deaf {
		<-c.end
		return false
	}
	select {
	case <-notice:
		c.told.Add(1)
		return true
	case <-c.end:
		return false
	}
}

// clients connect to a path each, and count those who hear that they are to go
// before their connection ends.
type clients struct {
	group sync.WaitGroup
	heard atomic.Int64
}

func (c *clients) connect(t *testing.T, url string, n int) {
	t.Helper()
	for range n {
		res, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(res.Body)
		if !lines.Scan() {
			t.Fatalf("%s says nothing: %v", url, lines.Err())
		}
		c.group.Go(func() {
			defer func() { _ = res.Body.Close() }()
			for lines.Scan() {
				if word := lines.Text() + "\n"; word == farewell || word == reconnect {
					c.heard.Add(1)
				}
			}
		})
	}
}

// sdkWorkload serves until the test ends, and returns where it does.
func sdkWorkload(t *testing.T, d *drain.Drainer, handler http.Handler) (url string, port, status int32) {
	t.Helper()
	work, port := listen(t, "127.0.0.1")
	at, status := listen(t, "127.0.0.1")
	server := &http.Server{Handler: handler}
	d.Instrument(server)
	go func() { _ = server.Serve(work) }()
	go func() { _ = d.ServeStatus(t.Context(), at) }()
	t.Cleanup(func() { _ = server.Close() })
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), port, status
}

// What the agent, as a process, makes of a workload with the SDK that has
// nothing but long-lived connections, by policy. Rotation takes 1 s.
func TestLongLivedPolicies(t *testing.T) {
	const s = time.Second
	const streams, sockets = 15, 5
	path := binary(t)
	tests := map[string]struct {
		policy           string // empty: Exclude
		notice           int32
		deaf             bool
		outcome, reason  string
		earliest, latest time.Duration
		left             int64
	}{
		"Exclude: not waited for":              {"", 0, true, hold.OutcomeDrained, "", s, s, streams + sockets},
		"Wait: until all have gone":            {hold.LongLivedWait, 2, false, hold.OutcomeDrained, "", 2 * s, 3 * s, 0},
		"Wait: to the bound":                   {hold.LongLivedWait, 1, true, hold.OutcomeTimedOut, "0 in flight, 20 long-lived", 6 * s, 6 * s, streams + sockets},
		"CloseAfter: all have gone":            {hold.LongLivedCloseAfter, 3, false, hold.OutcomeDrained, "", 2 * s, 4 * s, 0},
		"CloseAfter: the notice is over":       {hold.LongLivedCloseAfter, 2, true, hold.OutcomeDrained, "", 3 * s, 3 * s, streams + sockets},
		"CloseAfter: a long notice, cut short": {hold.LongLivedCloseAfter, 60, true, hold.OutcomeTimedOut, "0 in flight, 20 long-lived", 6 * s, 6 * s, streams + sockets},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := drain.New(drain.Options{})
			workload := &connections{deaf: tc.deaf, end: make(chan struct{})}
			url, port, status := sdkWorkload(t, d, workload.handler(t))
			var c clients
			c.connect(t, url+"/stream", streams)
			c.connect(t, url+"/socket", sockets)
			sp := spec(func(sp *hold.Spec) {
				sp.ServePorts, sp.TerminationLog = []int32{port}, terminationLog(t)
				if tc.outcome == hold.OutcomeTimedOut {
					sp.BoundSeconds = 6
				}
				sp.HTTP = &hold.HTTP{Port: status, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 20, PeriodSeconds: 1, DrainedWhen: "Body"}
				sp.Notify = &hold.Notify{Port: status, Path: "/drain"}
				if tc.policy != "" {
					sp.LongLived = &hold.LongLived{Policy: tc.policy, NoticeSeconds: tc.notice}
				}
			})
			output, _ := runAgent(t, path, "wait", "--verbose", "--hold", encode(t, sp))
			left := d.Status().LongLived
			got, _ := readResult(t, sp.TerminationLog)
			check(t, got, tc.outcome, tc.earliest, tc.latest)
			if got.Reason != tc.reason || left != tc.left {
				t.Errorf("reason %q, want %q; %d long-lived left, want %d\n%s", got.Reason, tc.reason, left, tc.left, output)
			}
			if got.OldestSeconds < 1 || got.OldestSeconds > int64(time.Minute/s) {
				t.Errorf("the oldest connection was %d s old", got.OldestSeconds)
			}
			close(workload.end)
			c.group.Wait()
			want := int64(0)
			if !tc.deaf {
				want = streams + sockets
			}
			if told, heard := workload.told.Load(), c.heard.Load(); told != want || heard != want {
				t.Errorf("%d were told and %d heard of it, want %d", told, heard, want)
			}
		})
	}
}

// How old connections are is looked at once, before the workload is told. What
// cannot be read then holds nothing up.
func TestOldestConnection(t *testing.T) {
	tests := map[string]struct {
		first, later string
		want         int64
	}{
		"told to go meanwhile":     {`{"version":1,"inFlight":0,"longLived":3,"oldestLongLivedSeconds":86400}`, `{"version":1,"inFlight":0}`, 86400},
		"known only later":         {`not yet`, `{"version":1,"inFlight":0,"longLived":1,"oldestLongLivedSeconds":3601}`, 3600},
		"a younger one later":      {`{"version":1,"inFlight":0,"longLived":2,"oldestLongLivedSeconds":500}`, `{"version":1,"inFlight":0,"longLived":1,"oldestLongLivedSeconds":400}`, 500},
		"none":                     {`{"version":1,"inFlight":0}`, `{"version":1,"inFlight":0}`, 0},
		"an age beyond belief":     {`{"version":1,"inFlight":0,"longLived":1,"oldestLongLivedSeconds":1e300}`, `{"version":1,"inFlight":0}`, 0},
		"an endpoint that hangs":   {hangs, `{"version":1,"inFlight":0}`, 0},
		"one that tells of no age": {`{"version":1,"inFlight":0,"longLived":3}`, `{"version":1,"inFlight":0,"longLived":3}`, 0},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told, early atomic.Bool
			port := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPost:
					told.Store(true)
				case r.Close && tc.first == hangs: // the first look keeps no connection
					<-r.Context().Done()
				case r.Close:
					early.Store(!told.Load())
					_, _ = fmt.Fprint(w, tc.first)
				case !told.Load(): // it does not end before
					http.Error(w, "wait", http.StatusServiceUnavailable)
				default:
					_, _ = fmt.Fprint(w, tc.later)
				}
			})
			w := newWaiter(spec(func(sp *hold.Spec) {
				sp.HTTP = &hold.HTTP{Port: port, Path: "/drain-status", Scheme: "HTTP", TimeoutSeconds: 30, PeriodSeconds: 1, DrainedWhen: "Body"}
				sp.Notify = &hold.Notify{Port: port, Path: "/drain"}
			}), time.Now(), t.Logf)
			if tc.first != hangs {
				w.glanceTime = time.Minute
			}
			got := w.run(t.Context())
			if got.Outcome != hold.OutcomeDrained || early.Load() != (tc.first != hangs) {
				t.Errorf("%+v, looked at before the workload was told: %v", got, early.Load())
			}
			// Connections are as much younger at the beginning as an answer took.
			const slow = 60
			if got.OldestSeconds > tc.want || got.OldestSeconds < max(tc.want-slow, 0) {
				t.Errorf("the oldest was %d s old, want %d", got.OldestSeconds, tc.want)
			}
		})
	}
}

// hangs stands for an answer that does not come.
const hangs = ""

// The other dialects do not tell of connections: they are not asked for them.
func TestNoFirstLookInOtherDialects(t *testing.T) {
	var first atomic.Int64
	start := time.Now()
	port := serve(t, func(w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(0, int64(time.Since(start)))
	})
	got := Wait(t.Context(), spec(func(sp *hold.Spec) {
		sp.HTTP = &hold.HTTP{Port: port, Path: "/idle", Scheme: "HTTP", TimeoutSeconds: 5, PeriodSeconds: 1, DrainedWhen: "StatusCode"}
	}), start, t.Logf)
	check(t, got, hold.OutcomeDrained, time.Second, time.Second)
	if at := time.Duration(first.Load()); at < time.Second || got.OldestSeconds != 0 {
		t.Errorf("first asked after %v, %d s old", at, got.OldestSeconds)
	}
}

// An agent that is older than the operator holds by what it knows, and says so.
func TestHoldOfANewerOperator(t *testing.T) {
	sp := tcpSpec(serve(t, work), 1)
	sp.TerminationLog = terminationLog(t)
	newer := strings.TrimSuffix(encode(t, sp), "}") + `,"surprise":{"policy":"Wait"}}`
	output, code := runAgent(t, binary(t), "wait", "--hold", newer)
	if code != exitOK || !strings.Contains(output, `unknown field "surprise"`) {
		t.Errorf("exit code %d: %s", code, output)
	}
	got, _ := readResult(t, sp.TerminationLog)
	check(t, got, hold.OutcomeDrained, time.Second, time.Second)
}
