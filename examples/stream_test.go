package examples

import (
	"bufio"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// streams connects an event stream and a WebSocket, and returns what each of
// them hears last.
func streams(t *testing.T) (lastEvent, closed <-chan string) {
	t.Helper()
	res, err := http.Get("http://" + host + ":8080/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	lines := bufio.NewScanner(res.Body)
	if !lines.Scan() || !strings.HasPrefix(lines.Text(), "data: 20") {
		t.Fatalf("the first event is %q", lines.Text())
	}
	event := make(chan string, 1)
	go func() {
		last := ""
		for lines.Scan() {
			if lines.Text() != "" {
				last = lines.Text()
			}
		}
		event <- last
	}()

	conn, _, err := websocket.Dial(t.Context(), "ws://"+host+":8080/ws", nil) //nolint:bodyclose // the connection is closed
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, message, err := conn.Read(t.Context()); err != nil || string(message) != "hello" {
		t.Fatalf("echo %q, %v", message, err)
	}
	code := make(chan string, 1)
	go func() {
		_, _, err := conn.Read(t.Context())
		code <- websocket.CloseStatus(err).String()
	}()
	return event, code
}

// heard expects what clients hear last, within a time.
func heard(t *testing.T, within time.Duration, lastEvent, closed <-chan string) {
	t.Helper()
	timeout := time.After(within)
	for what, got := range map[string]<-chan string{"retry: 200": lastEvent, "StatusServiceRestart": closed} {
		select {
		case last := <-got:
			if last != what {
				t.Errorf("heard %q, want %q", last, what)
			}
		case <-timeout:
			t.Fatalf("%s did not come", what)
		}
	}
}

// Clients of connections that never end are told to go, whatever makes them.
func TestStreamTellsItsClients(t *testing.T) {
	tests := map[string]struct {
		args []string
		act  func(t *testing.T, signal func(syscall.Signal))
	}{
		"notified": {nil, func(t *testing.T, _ func(syscall.Signal)) {
			res, err := http.Post("http://"+host+":8089/drain", "application/json",
				strings.NewReader(`{"draining": true, "notice": {"afterSeconds": 0, "seconds": 1}}`))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
		}},
		"SIGTERM": {[]string{"-notice", "1s"}, func(_ *testing.T, signal func(syscall.Signal)) { signal(syscall.SIGTERM) }},
		"SIGTERM with little time": {
			[]string{"-notice", "1h", "-timeout", "4s"},
			func(_ *testing.T, signal func(syscall.Signal)) { signal(syscall.SIGTERM) },
		},
		"too old": {[]string{"-max-connection-age", "1s"}, func(*testing.T, func(syscall.Signal)) {}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := start(t, "stream", append(tc.args, "-period", "50ms", "-status-addr", host+":8089")...)
			event, closed := streams(t)
			tc.act(t, func(s syscall.Signal) {
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			})
			heard(t, 30*time.Second, event, closed)
			if strings.HasPrefix(name, "SIGTERM") {
				if err := cmd.Wait(); err != nil {
					t.Errorf("exit: %v", err)
				}
			}
		})
	}
}
