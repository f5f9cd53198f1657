package runner

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"time"

	"github.com/drain-operator/drain-operator/test/guarantees"
	"github.com/drain-operator/drain-operator/test/load"
)

// Load is what is sent to each workload, by all clients at once.
type Load struct {
	FreshPerSecond float64
	BusyConns      int
	WebSockets     int
	EventStreams   int
	// MessageEvery is the time between two messages of a WebSocket.
	MessageEvery time.Duration
	Work         load.Work
}

// DefaultLoad is some 350 requests a second, short ones: what a machine of two
// cores can send to three workloads at a time, and those answer.
func DefaultLoad() Load {
	return Load{
		FreshPerSecond: 170, BusyConns: 4, WebSockets: 20, EventStreams: 10, MessageEvery: 100 * time.Millisecond,
		Work: load.Work{MinMillis: 5, MedianMillis: 10, P99Millis: 50, MaxMillis: 100},
	}
}

// config is the load of one cell.
func (l Load) config(key guarantees.Key, w Workload, address string) load.Config {
	seed := fnv.New64a()
	_, _ = seed.Write([]byte(key.String()))
	cfg := load.Config{
		Target: "http://" + address + "/work", AwaitSeconds: 60, FreshPerSecond: l.FreshPerSecond, BusyConns: l.BusyConns,
		PostPercent: 50, Work: l.Work, Seed: seed.Sum64(),
		MessageEveryMillis: int(l.MessageEvery.Milliseconds()),
	}
	if w.WebSocket {
		cfg.WebSockets = l.WebSockets
	}
	if w.EventStream {
		cfg.EventStreams = l.EventStreams
	}
	return cfg
}

// maxUnderWay is how many requests may be under way at a time: what is sent
// within some seconds. What is beyond is no matter of pods that end: the machine
// cannot answer what is sent.
func (l Load) maxUnderWay() int { return l.BusyConns + 40 + int(2*l.FreshPerSecond) }

// overrun is an error where a machine is. Requests that time out then say
// nothing of a server, and more of them only make it worse.
func (l Load) overrun(live load.Live) error {
	if live.Outstanding > l.maxUnderWay() {
		return fmt.Errorf("%w: %d requests are under way; fewer workloads at a time, or a lower rate, ask less of it", errOverrun, live.Outstanding)
	}
	return nil
}

// maxLag is how late a request may be sent. Clients that the machine has no time
// for are not those that never pause.
const maxLag = 2 * time.Second

// late is an error where a machine was overrun all the same.
func late(results load.Results) error {
	if results.MaxLag > maxLag {
		return fmt.Errorf("%w: requests were sent up to %s late", errOverrun, results.MaxLag.Round(time.Millisecond))
	}
	return nil
}

var errOverrun = errors.New("the machine is overrun")

// slower is by how much less is sent from then on when the machine was overrun,
// slowest the least share of what was asked for that makes sense.
const slower, slowest = 0.7, 0.15

// at is the load at a share of its rates.
func (l Load) at(share float64) Load {
	l.FreshPerSecond *= share
	l.BusyConns = max(2, int(math.Round(float64(l.BusyConns)*share)))
	l.MessageEvery = time.Duration(float64(l.MessageEvery) / share)
	return l
}

// enough says whether every client has sent so many.
func (l Load) enough(live load.Live, w Workload, want int) bool {
	messages := float64(l.WebSockets) * live.Elapsed.Seconds() / l.MessageEvery.Seconds()
	return live.Fresh >= want && live.Requests-live.Fresh >= want && (!w.WebSocket || messages >= 1.1*float64(want))
}
