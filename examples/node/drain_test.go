// Package node tests drain.js as what it is to a pod: a server that is asked
// and notified, judged by our own reader. test/e2e runs it in pods.
package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

type workload struct{ app, status string }

const patience = 30 * time.Second

// start starts host.js with the status listener on a host, whose application
// listens to some events.
func start(t *testing.T, host string, events ...string) workload {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed; the journeys of test/e2e run drain.js in pods")
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"testdata/host.js", host}, events...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	var w workload
	if _, err := fmt.Fscanln(out, &w.app, &w.status); err != nil {
		t.Fatalf("%s does not say where it listens: %v", node, err)
	}
	return w
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within %v: %s", patience, what)
}

// look is the status as our reader takes it, without its age.
func (w workload) look(t *testing.T, query string) drainstatus.Status {
	t.Helper()
	response, err := http.Get("http://" + w.status + "/drain-status" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	status, err := drainstatus.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return status
}

func (w workload) notify(t *testing.T, body string) int {
	t.Helper()
	return w.call(t, "POST", "/drain", body, nil).code
}

// ask sends a request on a connection and returns the connection and a reader
// of its responses.
func (w workload) ask(t *testing.T, path string) (net.Conn, *bufio.Reader) {
	t.Helper()
	return w.say(t, "GET "+path+" HTTP/1.1\r\nHost: shop\r\n\r\n")
}

// say sends bytes on a connection.
func (w workload) say(t *testing.T, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", w.app)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func answer(t *testing.T, r *bufio.Reader) (closes bool) {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.Close
}

func (w workload) awaitCounts(t *testing.T, inFlight, longLived int64) {
	t.Helper()
	await(t, fmt.Sprintf("%d in flight, %d long-lived", inFlight, longLived), func() bool {
		s := w.look(t, "")
		return s.InFlight == inFlight && s.LongLived == longLived
	})
}

// The steps follow one another in one workload.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := start(t, "127.0.0.1")
	if diff := cmp.Diff(drainstatus.Status{Version: 1}, w.look(t, "")); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}

	_, first := w.ask(t, "/?ms=2000")
	w.awaitCounts(t, 1, 0)
	if s := w.look(t, ""); s.OldestInFlightSeconds <= 0 {
		t.Errorf("the oldest in flight is %v s old", s.OldestInFlightSeconds)
	}
	if s := w.look(t, "?waitSeconds=30"); s.InFlight != 0 {
		t.Errorf("after the wait %d are in flight", s.InFlight)
	}
	if answer(t, first) {
		t.Error("a response says close before the drain")
	}

	gone, _ := w.ask(t, "/?ms=60000")
	w.awaitCounts(t, 1, 0)
	_ = gone.Close()
	w.awaitCounts(t, 0, 0)

	_, stream := w.ask(t, "/events")
	w.awaitCounts(t, 0, 1)
	_, second := w.ask(t, "/?ms=4000")
	w.awaitCounts(t, 1, 1)
	for body, want := range map[string]int{"": 400, `{"draining": 1}`: 400, `{"draining": true}`: 200} {
		if got := w.notify(t, body); got != want {
			t.Errorf("%q was answered with %d, want %d", body, got, want)
		}
	}
	if !w.look(t, "").Draining {
		t.Error("it was told, and does not say so")
	}
	if !answer(t, second) {
		t.Error("a request that was at work when the drain began does not say close")
	}
	answer(t, stream) // to its end
	w.awaitCounts(t, 0, 0)

	if got := w.notify(t, `{"draining": false}`); got != 200 {
		t.Errorf("taking it back was answered with %d", got)
	}
	_, third := w.ask(t, "/")
	if answer(t, third) {
		t.Error("a response says close when the drain was taken back")
	}
}
