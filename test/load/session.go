package load

import (
	"encoding/json"
	"fmt"
	"time"
)

// SessionKind is what a long-lived connection speaks.
type SessionKind uint8

// The kinds of long-lived connections.
const (
	WebSocket SessionKind = iota
	EventStream
	sessionKinds
)

// String is the kind as shown in tables.
func (k SessionKind) String() string {
	return [sessionKinds]string{"WebSocket", "event stream"}[k]
}

// Session is one long-lived connection, or the attempt to make one. In JSON it
// is an array of its fields in their order, times in microseconds.
type Session struct {
	Kind SessionKind
	// Client says which one it was, from 0 for each kind.
	Client int
	// Start is when it was dialed, the time since Results.StartedAt. Told is when
	// the other side first said that the client is to connect again, 0 if it never
	// did. End is when the connection was over.
	Start, Told, End time.Duration
	// Sent and Received are messages of a WebSocket: those that were sent, and
	// those of them that came back. Lost are those that were sent, did not come
	// back and may or may not have been processed. What is neither was declared
	// unprocessed by the protocol, and is sent again on the client's next
	// connection.
	Sent, Received, Lost int
	// Pod is an index into Results.Pods: who was at the other side.
	Pod int
	// Cause is how it ended. Answered: in the way that the protocol has for it,
	// after it was told or because the client wanted to. Closed: the other side
	// closed it without having told. All others are cuts, or, where it never
	// began, why.
	Cause Cause
}

// Unprocessed is how many messages were declared unprocessed by the protocol.
func (s Session) Unprocessed() int { return s.Sent - s.Received - s.Lost }

// Kept says that the connection stood when the run ended.
func (s Session) Kept() bool { return s.Cause == Answered && s.Told == 0 }

// MarshalJSON writes the fields in their order.
func (s Session) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "[%d,%d,%d,%d,%d,%d,%d,%d,%d,%d]", s.Kind, s.Client, s.Start.Microseconds(), s.Told.Microseconds(), s.End.Microseconds(),
		s.Sent, s.Received, s.Lost, s.Pod, s.Cause), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Session) UnmarshalJSON(b []byte) error {
	var v [10]int64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if v[0] < 0 || v[0] >= int64(sessionKinds) || v[9] < 0 || v[9] >= int64(causes) {
		return fmt.Errorf("session of unknown kind %d or cause %d", v[0], v[9])
	}
	at := func(i int) time.Duration { return time.Duration(v[i]) * time.Microsecond }
	*s = Session{
		Kind: SessionKind(v[0]), Client: int(v[1]), Start: at(2), Told: at(3), End: at(4),
		Sent: int(v[5]), Received: int(v[6]), Lost: int(v[7]), Pod: int(v[8]), Cause: Cause(v[9]),
	}
	return nil
}

// SessionTally counts long-lived connections and their messages.
type SessionTally struct {
	// Kept stood at the end of the run. Told had been told to go when they ended;
	// Untold had not, or never began.
	Kept, Told, Untold int
	// ToldAndCut are those of Told whose end was not the protocol's.
	ToldAndCut int
	// Messages of WebSockets; see Session.
	Sent, Received, Unprocessed, Lost int
	// ByCause counts Untold and ToldAndCut by how they ended.
	ByCause [causes]int
}

// Sessions is the number of connections, attempts among them.
func (t SessionTally) Sessions() int { return t.Kept + t.Told + t.Untold }

// SessionTally counts the long-lived connections of a kind.
func (r Results) SessionTally(kind SessionKind) SessionTally {
	var t SessionTally
	for _, s := range r.Sessions {
		if s.Kind == kind {
			t.add(s)
		}
	}
	return t
}

func (t *SessionTally) add(s Session) {
	t.Sent, t.Received, t.Lost = t.Sent+s.Sent, t.Received+s.Received, t.Lost+s.Lost
	t.Unprocessed += s.Unprocessed()
	switch {
	case s.Kept():
		t.Kept++
		return
	case s.Told > 0:
		t.Told++
	default:
		t.Untold++
	}
	if s.Told > 0 && s.Cause != Answered {
		t.ToldAndCut++
	}
	if s.Cause != Answered {
		t.ByCause[s.Cause]++
	}
}

// Reconnects counts the connections of a kind that clients made after their
// first one, in slices of a width from StartedAt on.
func (r Results) Reconnects(kind SessionKind, width time.Duration) []int {
	counts := make([]int, int(r.Elapsed/width)+1)
	first := map[int]time.Duration{}
	for _, s := range r.Sessions {
		if at, known := first[s.Client]; s.Kind == kind && (!known || s.Start < at) {
			first[s.Client] = s.Start
		}
	}
	for _, s := range r.Sessions {
		if i := int(s.Start / width); s.Kind == kind && s.Start > first[s.Client] && i < len(counts) {
			counts[i]++
		}
	}
	return counts
}
