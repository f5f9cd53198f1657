package agent

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
)

func tcpSpec(port, idleSeconds int32) hold.Spec {
	return spec(func(s *hold.Spec) {
		s.ServePorts = []int32{port}
		s.TCP = &hold.TCP{IdleSeconds: idleSeconds}
	})
}

// work answers /<milliseconds> after so long.
func work(w http.ResponseWriter, r *http.Request) {
	takes, _ := strconv.Atoi(r.URL.Path[1:])
	time.Sleep(time.Duration(takes) * ms)
	_, _ = io.WriteString(w, "done")
}

func request(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: pod\r\n\r\n" }

// exchange sends requests one after the other on a connection, each as soon as
// the response before it has come, and returns when the last one came.
func exchange(t *testing.T, conn net.Conn, paths ...string) time.Time {
	t.Helper()
	reader := bufio.NewReader(conn)
	for _, path := range paths {
		if _, err := io.WriteString(conn, request(path)); err != nil {
			t.Error(err)
			return time.Now()
		}
		response, err := http.ReadResponse(reader, nil)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			_ = response.Body.Close()
		}
		if err != nil {
			t.Errorf("%s was cut: %v", path, err)
			return time.Now()
		}
	}
	return time.Now()
}

// Whatever clients do on real connections, the hold ends when nothing is owed
// any more: idleSeconds after the last response, as the server knows it. Times
// of the hold begin after the first request.
func TestTCPStatus(t *testing.T) {
	const s = time.Second
	tests := map[string]struct {
		handler  http.HandlerFunc
		idle     int32
		client   func(t *testing.T, port int32)
		outcome  string
		earliest time.Duration
		latest   time.Duration
		served   int64 // at least so many requests
		inFlight int64 // owed at the end
	}{
		"no connection": {work, 1, func(*testing.T, int32) {}, hold.OutcomeDrained, s, s, 0, 0},
		"accepted and never used": {work, 1, func(t *testing.T, port int32) {
			dialPort(t, port, "")
		}, hold.OutcomeDrained, s, s, 0, 0},
		"first request is worked on": {work, 1, func(t *testing.T, port int32) {
			dialPort(t, port, request("/3000"))
		}, hold.OutcomeDrained, s, 4 * s, 1, 0},
		// A tie that nobody watched may be held for 10 s.
		"idle connection after a fast response": {work, 1, func(t *testing.T, port int32) {
			exchange(t, dialPort(t, port, ""), "/0", "/0")
		}, hold.OutcomeDrained, s, 10 * s, 2, 0},
		"idle connection after a slow response": {work, 1, func(t *testing.T, port int32) {
			exchange(t, dialPort(t, port, ""), "/100")
		}, hold.OutcomeDrained, s, s, 1, 0},
		"back to back on one connection": {work, 1, func(t *testing.T, port int32) {
			go exchange(t, dialPort(t, port, ""), "/1500", "/1500", "/2500")
		}, hold.OutcomeDrained, s, 6500 * ms, 1, 0},
		"back to back on twenty connections, fast and slow": {work, 1, func(t *testing.T, port int32) {
			for range 20 {
				go exchange(t, dialPort(t, port, ""), "/5", "/5", "/5", "/1200", "/5", "/5", "/3000")
			}
		}, hold.OutcomeDrained, s, 5225 * ms, 20, 0},
		"headers flushed, silent for less than idleSeconds": {flushed(3 * s), 5, func(t *testing.T, port int32) {
			dialPort(t, port, request("/"))
		}, hold.OutcomeDrained, s, 8 * s, 1, 0},
		// The limit that docs/agent.md names: let go, and one is owed.
		"headers flushed, silent for longer": {flushed(time.Minute), 1, func(t *testing.T, port int32) {
			dialPort(t, port, request("/"))
		}, hold.OutcomeDrained, s, s, 0, 1},
		// Both ends acknowledge at once here: held for longer than it needs.
		"slow upload": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(w, "done")
		}, 1, func(t *testing.T, port int32) {
			conn := dialPort(t, port, "POST / HTTP/1.1\r\nHost: pod\r\nContent-Length: 40\r\n\r\n")
			go func() {
				for range 40 {
					time.Sleep(100 * ms)
					_, _ = io.WriteString(conn, "x")
				}
			}()
		}, hold.OutcomeDrained, s, 14 * s, 1, 0},
		"download by a slow client": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.CopyN(w, zeros{}, 16<<20)
		}, 1, func(t *testing.T, port int32) {
			conn := dialPort(t, port, request("/"))
			go func() {
				time.Sleep(4 * s)
				_, _ = io.Copy(io.Discard, conn)
			}()
		}, hold.OutcomeDrained, s, 5 * s, 1, 0},
		"client closes after its response": {work, 1, func(t *testing.T, port int32) {
			conn := dialPort(t, port, "")
			exchange(t, conn, "/10")
			_ = conn.Close()
		}, hold.OutcomeDrained, s, s, 1, 0},
		"busy to the bound": {work, 1, func(t *testing.T, port int32) {
			dialPort(t, port, request("/60000"))
		}, hold.OutcomeTimedOut, 8 * s, 8 * s, 0, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l ledger
			port := serve(t, l.keep(tc.handler))
			tc.client(t, port)
			sp := tcpSpec(port, tc.idle)
			if tc.outcome == hold.OutcomeTimedOut {
				sp.BoundSeconds = 8
			}
			got := wait(t, sp)
			check(t, got, tc.outcome, tc.earliest, tc.latest)
			if tc.inFlight == 0 {
				l.settled(t, got, tc.served, time.Duration(tc.idle)*s)
			} else if owed := l.inFlight.Load(); owed != tc.inFlight {
				t.Errorf("%d in flight at the end, want %d", owed, tc.inFlight)
			}
			if told := tc.inFlight; tc.outcome == hold.OutcomeTimedOut && got.InFlight != told {
				t.Errorf("%d in flight, it says, want %d", got.InFlight, told)
			}
		})
	}
}

// flushed sends its headers and works on silently.
func flushed(silent time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(50 * ms)
		w.Header().Set("Content-Length", "4")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		time.Sleep(silent)
		_, _ = io.WriteString(w, "done")
	}
}

// A server that answers a client which has closed its sending side; net/http
// would give up on it.
func TestTCPHalfClosed(t *testing.T) {
	t.Parallel()
	l, port := listen(t, "")
	var answered atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.ReadAll(conn)
				time.Sleep(3 * time.Second)
				answered.Store(time.Now().UnixNano())
				_, _ = fmt.Fprint(conn, "done")
				_ = conn.Close()
			}()
		}
	}()
	conn := dialPort(t, port, "work")
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got := wait(t, tcpSpec(port, 1))
	at := answered.Load()
	check(t, got, hold.OutcomeDrained, time.Second, 3*time.Second)
	if at == 0 {
		t.Error("let go without an answer")
	}
	notBefore(t, got, time.Unix(0, at))
	if body, err := io.ReadAll(conn); err != nil || string(body) != "done" {
		t.Errorf("client got %q, %v", body, err)
	}
}

// Connections that the app has not accepted yet are in flight.
func TestTCPBacklog(t *testing.T) {
	t.Parallel()
	_, port := listen(t, "")
	dialPort(t, port, "")
	dialPort(t, port, "work")
	s := tcpSpec(port, 1)
	s.BoundSeconds = 3
	got := wait(t, s)
	check(t, got, hold.OutcomeTimedOut, 3*time.Second, 3*time.Second)
	if got.InFlight != 2 {
		t.Errorf("%d in flight, want 2", got.InFlight)
	}
}

// Other ports are nobody's business.
func TestTCPOtherPort(t *testing.T) {
	t.Parallel()
	port, other := serve(t, work), serve(t, work)
	dialPort(t, other, request("/60000"))
	check(t, wait(t, tcpSpec(port, 1)), hold.OutcomeDrained, time.Second, time.Second)
}

// Without ports, every port counts on which something listens. This test does
// not run beside others, whose connections would count.
func TestTCPAnyPort(t *testing.T) {
	var l ledger
	port := serve(t, l.keep(work))
	dialPort(t, port, request("/2500"))
	s := tcpSpec(port, 1)
	s.ServePorts = nil
	got := wait(t, s)
	check(t, got, hold.OutcomeDrained, time.Second, 3500*ms)
	l.settled(t, got, 1, time.Second)
}

// New connections keep the pod in rotation until they have stopped for two
// seconds. This test does not run beside others, whose connections would count.
func TestRotation(t *testing.T) {
	port := serve(t, work)
	before, after := 2*time.Second, 3*time.Second
	stop := time.Now().Add(before + after)
	var last atomic.Int64
	go func() {
		for time.Now().Before(stop) {
			conn, err := net.Dial("tcp", net.JoinHostPort(podIP, strconv.Itoa(int(port))))
			if err != nil {
				return
			}
			last.Store(time.Now().UnixNano())
			_, _ = io.WriteString(conn, "GET /1 HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n")
			_, _ = io.ReadAll(conn)
			_ = conn.Close()
			time.Sleep(10 * ms)
		}
	}()
	s := tcpSpec(port, 1)
	s.PropagationMaxSeconds = 20
	s.ReleaseWhen = hold.ReleaseWhenOutOfRotation
	time.Sleep(before) // the traffic that the pod is used to
	got := wait(t, s)
	notBefore(t, got, time.Unix(0, last.Load()).Add(2*time.Second-100*ms)) // looks are as far apart
	check(t, got, hold.OutcomeDrained, 2*time.Second, after+2*time.Second)
}
