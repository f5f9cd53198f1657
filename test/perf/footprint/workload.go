package footprint

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Ports of the workload.
const (
	workPort   = 8080
	statusPort = 8081
)

// trafficEvery is the time between two requests on the connections, taken in turns.
const trafficEvery = 20 * time.Millisecond

// workload answers requests, tells its drain status, and is its own client.
type workload struct {
	servers []*http.Server
	conns   []net.Conn

	mu       sync.Mutex
	inFlight int
	changed  chan struct{}
	// owed is the connection of the request in flight, which is answered when
	// answer is closed.
	owed   net.Conn
	answer chan struct{}
}

// startWorkload starts the workload and uses connections, once each.
func startWorkload(connections int) (*workload, error) {
	w := &workload{changed: make(chan struct{})}
	work := http.NewServeMux()
	work.HandleFunc("/work", func(http.ResponseWriter, *http.Request) {})
	work.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { <-w.answer })
	status := http.NewServeMux()
	status.HandleFunc("/drain-status", w.status)
	for port, handler := range map[int]http.Handler{workPort: work, statusPort: status} {
		l, err := net.Listen("tcp", address(port))
		if err != nil {
			return nil, err
		}
		s := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		w.servers = append(w.servers, s)
		go func() { _ = s.Serve(l) }() // ends with stop
	}
	for range connections {
		conn, err := connect("/work")
		if err != nil {
			return nil, err
		}
		if err := answered(conn); err != nil {
			return nil, err
		}
		w.conns = append(w.conns, conn)
	}
	return w, nil
}

func (w *workload) stop() {
	for _, c := range w.conns {
		_ = c.Close() // the process ends with it
	}
	for _, s := range w.servers {
		_ = s.Close() // the process ends with it
	}
}

// begin makes a request that is in flight until finish: a connection owes a
// response, and the drain status says so.
func (w *workload) begin() {
	w.answer = make(chan struct{})
	conn, err := connect("/slow")
	if err != nil {
		panic(err) // a server of this process does not answer
	}
	w.owed = conn
	w.count(1)
}

// finish answers that request. The connection stays open, as with a client that
// keeps it for the next one.
func (w *workload) finish() {
	close(w.answer)
	w.count(-1)
	if err := answered(w.owed); err != nil {
		panic(err) // a server of this process does not answer
	}
}

func (w *workload) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.inFlight += n
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *workload) look() (int, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inFlight, w.changed
}

// status is the drain-status protocol with long-poll.
func (w *workload) status(rw http.ResponseWriter, r *http.Request) {
	seconds, _ := strconv.Atoi(r.FormValue("waitSeconds")) // none means 0
	deadline := time.After(time.Duration(seconds) * time.Second)
	inFlight, changed := w.look()
	for waiting := true; waiting && inFlight > 0; inFlight, changed = w.look() {
		select {
		case <-changed:
		case <-deadline:
			waiting = false
		case <-r.Context().Done():
			return
		}
	}
	_ = json.NewEncoder(rw).Encode(map[string]any{"version": 1, "draining": true, "inFlight": inFlight, "longLived": 0})
}

// traffic sends requests on the connections in turns, until the context ends.
func (w *workload) traffic(ctx context.Context) {
	if len(w.conns) == 0 {
		return
	}
	tick := time.NewTicker(trafficEvery)
	defer tick.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		<-tick.C
		conn := w.conns[i%len(w.conns)]
		if send(conn, "/work") != nil || answered(conn) != nil {
			return // the workload has stopped
		}
	}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func connect(path string) (net.Conn, error) {
	conn, err := net.Dial("tcp", address(workPort))
	if err != nil {
		return nil, err
	}
	return conn, send(conn, path)
}

func send(conn net.Conn, path string) error {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: workload\r\n\r\n", path)
	return err
}

// answered reads one answer, without a body.
func answered(conn net.Conn) error {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
