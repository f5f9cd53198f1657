package inflight

import "time"

// Class says why a connection is in flight or not.
type Class string

const (
	// Unused: nothing was ever received on it. Not in flight.
	Unused Class = "unused"
	// Idle: sent last, longer than idleSeconds ago. Not in flight.
	Idle Class = "idle"
	// Owing: something was received since something was last sent.
	Owing Class = "owing"
	// Recent: sent last, less than idleSeconds ago.
	Recent Class = "recent"
	// Unclear: received and sent within one tick of the kernel's clock, and
	// nothing tells which came last. In flight until it has aged.
	Unclear Class = "unclear"
	// Moving: bytes that the pod has not read, or the client has not
	// acknowledged.
	Moving Class = "moving"
)

// InFlight says whether a connection of the class counts.
func (c Class) InFlight() bool { return c != Unused && c != Idle }

const (
	// presumedPatience is how long a tie counts as in flight when a response
	// may well be owed: nobody watched how it came to be, or a response was
	// owed before. Longer than idleSeconds, since a request that follows a
	// response at once looks exactly like this for as long as it is worked on.
	presumedPatience = 10 * time.Second

	// ackWindow is how long after payload a client's delayed acknowledgement
	// of it may come (Linux: at most 200 ms); later ones are keepalives.
	ackWindow = 300 * time.Millisecond

	// watched is the longest time between two looks at a connection for the
	// counters in between to tell what happened.
	watched = 500 * time.Millisecond
)

// verdict is what is known of the last exchange on a connection, for as long
// as its byte counters stand still.
type verdict uint8

const (
	unclear  verdict = iota // a tie after idleness that was watched
	presumed                // a tie that more likely owes, or that nobody watched
	owes
	sentLast
)

// history is what the looks at a connection have shown so far.
type history struct {
	payload, sent   uint64
	acksIn, acksOut uint32
	// The acknowledgements without payload before payload and sent last
	// changed, and what was known then; only if that change was watched.
	change              bool
	inBefore, outBefore uint32
	prior               verdict

	at      time.Duration
	verdict verdict
	seen    uint64
}

// Tracker compares looks. Its zero value, with Idle set, is ready for use.
type Tracker struct {
	// Idle is how long a connection on which the pod sent last still counts.
	Idle time.Duration

	conns map[uint64]history
	looks uint64
}

// Count is what one look came to.
type Count struct {
	// InFlight is the number of connections that owe a response, those not
	// yet accepted included.
	InFlight int64
	// ByClass counts the connections of each class.
	ByClass map[Class]int
	// Queued are connections that wait to be accepted and sent nothing yet.
	Queued int64
	// Calm is when nothing will be in flight any more if connections do
	// nothing but age; 0 if something in flight does not age, or nothing is in
	// flight. Times are since the hook began.
	Calm time.Duration
}

// Observe takes one look, made at a time since the hook began, at the
// connections and listeners on ports.
func (t *Tracker) Observe(at time.Duration, look Look, ports []int32) Count {
	if t.conns == nil {
		t.conns = map[uint64]history{}
	}
	t.looks++
	count := Count{ByClass: map[Class]int{}}
	var waiting, unaccepted int64
	lasting := false
	for _, c := range look.Conns {
		if !Serves(ports, c.Local.Port()) {
			continue
		}
		h := t.advance(at, c)
		t.conns[c.ID] = h
		class, ages := t.classify(c, h.verdict)
		count.ByClass[class]++
		if class.InFlight() {
			count.InFlight++
			if !c.Accepted && c.State != WeClosed {
				unaccepted++
			}
			lasting = lasting || ages == 0
			count.Calm = max(count.Calm, at+ages)
		}
	}
	for _, l := range look.Listening(ports) {
		waiting += int64(l.Backlog)
	}
	count.Queued = max(0, waiting-unaccepted)
	count.InFlight += count.Queued
	if lasting || count.Queued > 0 {
		count.Calm = 0
	}
	t.forget()
	return count
}

// forget drops connections that are gone.
func (t *Tracker) forget() {
	for id, h := range t.conns {
		if h.seen != t.looks {
			delete(t.conns, id)
		}
	}
}

// advance says what is known of a connection after a look.
func (t *Tracker) advance(at time.Duration, c Conn) history {
	before, known := t.conns[c.ID]
	now := history{
		payload: c.Payload(), sent: c.Sent, acksIn: c.AcksIn, acksOut: c.AcksOut,
		prior: presumed, at: at, seen: t.looks,
	}
	switch {
	case now.payload == 0:
		now.verdict = sentLast
	case c.Sent == 0 || c.SinceReceived < c.SinceSent:
		now.verdict = owes
	case c.SinceSent < c.SinceReceived:
		now.verdict = sentLast
	case known && at-before.at <= watched:
		now.watchedTie(before, c)
	default:
		now.verdict = now.tie(c)
	}
	return now
}

// watchedTie decides a connection whose last payload came and went within one
// tick of the kernel's clock, with what the look before showed.
func (now *history) watchedTie(before history, c Conn) {
	received, sent := now.payload != before.payload, now.sent != before.sent
	settled := before.verdict == owes || before.verdict == sentLast
	switch {
	case received && !sent:
		now.verdict = owes
		return
	case sent && !received:
		now.verdict = sentLast
		return
	case received && sent:
		now.change, now.prior = true, before.verdict
		now.inBefore, now.outBefore = before.acksIn, before.acksOut
	case settled:
		now.verdict = before.verdict
		return
	default:
		now.change, now.prior = before.change, before.prior
		now.inBefore, now.outBefore = before.inBefore, before.outBefore
		// An acknowledgement without payload went out meanwhile: the delayed
		// one of a request that has no response to ride on.
		if now.acksOut != before.acksOut && c.State == Open && c.SinceReceived <= ackWindow {
			now.verdict = owes
			return
		}
	}
	now.verdict = now.tie(c)
}

// tie decides by acknowledgements. Whoever gets payload acknowledges it, with
// the next payload it sends, or within ackWindow without any.
func (now *history) tie(c Conn) verdict {
	weAcked, clientAcked := now.acksOut != now.outBefore, now.acksIn != now.inBefore
	overdue := now.change && c.State == Open && c.SinceReceived > ackWindow
	switch {
	// The client acknowledged something after its last payload: a response.
	case c.SinceAcked < c.SinceReceived && c.SinceReceived-c.SinceAcked <= ackWindow:
		return sentLast
	// What came last was acknowledged by the response to it.
	case overdue && !weAcked:
		return sentLast
	// What was sent last was acknowledged by the request that followed.
	case overdue && !clientAcked:
		return owes
	// Requests and responses take turns: after both, things are as they were.
	case now.prior == sentLast || now.prior == unclear:
		return unclear
	}
	return presumed
}

// classify judges a connection; ages is how long it takes for age alone to
// change the answer, 0 if it cannot.
func (t *Tracker) classify(c Conn, v verdict) (class Class, ages time.Duration) {
	switch {
	case c.State == WeClosed:
		// The FIN is the one byte that is no response.
		if c.Unsent > 1 {
			return Moving, 0
		}
		return Idle, 0
	case c.Unsent > 0 || c.unread() > 0:
		return Moving, 0
	case c.Payload() == 0 && c.Sent == 0:
		return Unused, 0
	case v == owes:
		return Owing, 0
	case v == sentLast:
		return aged(Recent, c.SinceSent, t.Idle)
	case v == presumed:
		return aged(Unclear, c.SinceSent, max(t.Idle, presumedPatience))
	}
	return aged(Unclear, c.SinceSent, t.Idle)
}

// aged is class until age reaches limit, then Idle.
func aged(class Class, age, limit time.Duration) (Class, time.Duration) {
	if age >= limit {
		return Idle, 0
	}
	return class, limit - age
}
