package load

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// holdOn runs clients against a handler until done says that it is enough.
func holdOn(t *testing.T, path string, handler http.HandlerFunc, cfg Config, done func(Live) bool) Results {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, handler)
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	cfg.Target = s.URL + "/work"
	run, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !done(run.Live()); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			run.Stop()
			t.Fatalf("it does not come about: %+v", run.Live())
		}
	}
	run.Stop()
	res, err := run.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// webSocket serves WebSockets with a function of the test, which is told the
// connection's number, from 0.
func webSocket(serve func(ctx context.Context, n int, c *websocket.Conn)) http.HandlerFunc {
	var next counter
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(PodHeader, "web-1")
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		serve(context.Background(), next.add(), c)
	}
}

// counter counts from 0. A test with one client needs no lock: connections
// follow one another.
type counter int

func (c *counter) add() int { *c++; return int(*c) - 1 }

// back sends back a number of messages, or all of them where it is negative.
func back(ctx context.Context, c *websocket.Conn, messages int) {
	for ; messages != 0; messages-- {
		kind, text, err := c.Read(ctx)
		if err != nil || c.Write(ctx, kind, text) != nil {
			return
		}
	}
}

// What becomes of a first connection, and of the messages that did not come
// back on it. How many those are is not sure: the client does not wait.
func TestWebSocketEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		serve             func(ctx context.Context, c *websocket.Conn)
		told              bool
		lost, unprocessed bool
		causes            []Cause
	}{
		"told by a frame": {func(ctx context.Context, c *websocket.Conn) {
			back(ctx, c, 2)
			_, text, _ := c.Read(ctx)
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"reconnect": true, "afterMillis": 1}`))
			_ = c.Write(ctx, websocket.MessageText, text) // after the word: it was under way
			back(ctx, c, -1)
		}, true, false, false, []Cause{Answered}},
		"told by 1012 in the middle": {func(ctx context.Context, c *websocket.Conn) {
			back(ctx, c, 3)
			_, _, _ = c.Read(ctx)
			_ = c.Close(websocket.StatusServiceRestart, "")
		}, true, false, true, []Cause{Answered}},
		"closed without a word": {func(ctx context.Context, c *websocket.Conn) {
			back(ctx, c, 3)
			_, _, _ = c.Read(ctx)
			_ = c.Close(websocket.StatusGoingAway, "")
		}, false, true, false, []Cause{Closed}},
		"cut": {func(ctx context.Context, c *websocket.Conn) {
			back(ctx, c, 3)
			_, _, _ = c.Read(ctx)
		}, false, true, false, []Cause{Closed, Reset}},
		"told and cut": {func(ctx context.Context, c *websocket.Conn) {
			_, _, _ = c.Read(ctx)
			_ = c.Write(ctx, websocket.MessageText, []byte(`{"reconnect": true}`))
		}, true, true, false, []Cause{Closed, Reset}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := webSocket(func(ctx context.Context, n int, c *websocket.Conn) {
				if n == 0 {
					tc.serve(ctx, c)
					return
				}
				back(ctx, c, -1)
			})
			res := holdOn(t, "/ws", handler, Config{WebSockets: 1, MessageEveryMillis: 20},
				func(l Live) bool { return l.Told+l.Untold == 1 && l.Open == 1 })
			if len(res.Sessions) != 2 {
				t.Fatalf("sessions %+v", res.Sessions)
			}
			got, next := res.Sessions[0], res.Sessions[1]
			if told := got.Told > got.Start && got.Told <= got.End; told != tc.told || !told && got.Told != 0 {
				t.Errorf("told %v, want %v: %+v", told, tc.told, got)
			}
			if got.Lost > 0 != tc.lost || got.Unprocessed() > 0 != tc.unprocessed || got.Lost > 0 && got.Unprocessed() > 0 {
				t.Errorf("lost %d, unprocessed %d: %+v", got.Lost, got.Unprocessed(), got)
			}
			if !slices.Contains(tc.causes, got.Cause) || res.Pods[got.Pod] != "web-1" {
				t.Errorf("ended with %v at %q, want one of %v", got.Cause, res.Pods[got.Pod], tc.causes)
			}
			if !next.Kept() || next.Sent != next.Received || next.Sent < got.Unprocessed() {
				t.Errorf("second connection %+v", next)
			}
		})
	}
}

// A message that was declared unprocessed comes on the next connection, before
// any other, and every number comes back once.
func TestUnprocessedIsSentAgain(t *testing.T) {
	var came []int
	handler := webSocket(func(ctx context.Context, n int, c *websocket.Conn) {
		for i := 0; ; i++ {
			kind, text, err := c.Read(ctx)
			if err != nil {
				return
			}
			if n == 0 && i == 2 {
				_ = c.Close(websocket.StatusServiceRestart, "")
				return
			}
			came = append(came, parseWord(text).N)
			if c.Write(ctx, kind, text) != nil {
				return
			}
		}
	})
	res := holdOn(t, "/ws", handler, Config{WebSockets: 1, MessageEveryMillis: 5}, func(l Live) bool { return l.Told == 1 && l.Open == 1 })
	tally := res.SessionTally(WebSocket)
	if tally.Unprocessed < 1 || tally.Lost != 0 || tally.Told != 1 || tally.Kept != 1 {
		t.Errorf("tally %+v", tally)
	}
	for i, n := range came {
		if n != i+1 {
			t.Fatalf("messages came as %v", came)
		}
	}
}

func TestEventStreamEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		last string // what the first stream says
		rest func(w http.ResponseWriter, r *http.Request)
		want Session
	}{
		"told by retry":    {"retry: 1\n\n", nil, Session{Told: 1}},
		"told by an event": {"event: reconnect\ndata: {}\n\n", nil, Session{Told: 1}},
		"ends untold":      {"data: x\n\n", nil, Session{Cause: Closed}},
		"cut":              {"data: x\n\n", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Session{Cause: Truncated}},
		"told and cut":     {"retry: 1\n\n", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Session{Told: 1, Cause: Truncated}},
		"silent":           {"data: x\n\n", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, Session{Cause: TimedOut}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var next counter
			handler := func(w http.ResponseWriter, r *http.Request) {
				first := next.add() == 0
				say := func(text string) { fmt.Fprint(w, text); _ = http.NewResponseController(w).Flush() }
				say("data: {\"pod\": \"web-1\"}\n\n")
				if first {
					say(tc.last)
					if tc.rest != nil {
						tc.rest(w, r)
					}
					return
				}
				for r.Context().Err() == nil {
					say(": still here\n")
					time.Sleep(20 * time.Millisecond)
				}
			}
			cfg := Config{EventStreams: 1}
			if tc.want.Cause == TimedOut {
				cfg.SlackSeconds = 1
			}
			res := holdOn(t, "/events", handler, cfg, func(l Live) bool { return l.Told+l.Untold > 0 && l.Open == 1 })
			if last := len(res.Sessions) - 1; last < 1 || !res.Sessions[last].Kept() {
				t.Fatalf("sessions %+v", res.Sessions)
			}
			got := res.Sessions[0]
			got.Start, got.Told, got.End = 0, min(got.Told, 1), 0
			tc.want.Kind, tc.want.Pod = EventStream, 1
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("first stream (-want +got):\n%s", diff)
			}
		})
	}
}

// Attempts that fail are sessions, too, with the reason.
func TestFailedAttempts(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		want   Cause
	}{"unavailable": {503, ServerError}, "not found": {404, Other}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tc.status) }
			for path, cfg := range map[string]Config{"/ws": {WebSockets: 1}, "/events": {EventStreams: 1}} {
				res := holdOn(t, path, refuse, cfg, func(l Live) bool { return l.Untold >= 3 })
				for _, s := range res.Sessions {
					if s.Cause != tc.want || s.Kept() {
						t.Errorf("%s: session %+v, want %v", path, s, tc.want)
					}
				}
			}
		})
	}
}

func TestReconnectsAreCounted(t *testing.T) {
	at := func(client, start int) Session {
		return Session{Client: client, Start: time.Duration(start) * time.Second}
	}
	r := Results{Elapsed: 5 * time.Second, Sessions: []Session{at(0, 3), at(0, 0), at(1, 1), at(1, 3), at(1, 4), {Kind: EventStream, Start: 2 * time.Second}}}
	if diff := cmp.Diff([]int{0, 0, 0, 2, 1, 0}, r.Reconnects(WebSocket, time.Second)); diff != "" {
		t.Errorf("reconnects (-want +got):\n%s", diff)
	}
}

func TestSessionSurvivesJSON(t *testing.T) {
	want := []Session{
		{Kind: EventStream, Client: 7, Start: time.Millisecond, Told: time.Second, End: time.Minute, Pod: 2, Cause: Reset},
		{Sent: 5, Received: 3, Lost: 1},
	}
	b, err := json.Marshal(Results{Sessions: want})
	if err != nil {
		t.Fatal(err)
	}
	var got Results
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Sessions); diff != "" {
		t.Errorf("after JSON (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`{"sessions":[[2,0,0,0,0,0,0,0,0,0]]}`), &got); err == nil {
		t.Error("a session of an unknown kind is read")
	}
}
