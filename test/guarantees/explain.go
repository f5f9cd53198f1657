package guarantees

import "slices"

// Ending is what a server does on SIGTERM when nothing told it before.
type Ending int

// The endings.
const (
	// Finishes: it answers what is in flight and closes its connections.
	Finishes Ending = iota
	// AtOnce: it ends with what is in flight, or is killed with it when the grace
	// is over, since it does not listen to SIGTERM at all.
	AtOnce
)

// Facts are what is known of a server beside what the table measures.
type Facts struct {
	// OnTerm is what it does on SIGTERM.
	OnTerm Ending
	// ClosesAlways: it keeps no connection, and says so in each of its answers.
	ClosesAlways bool
	// Proxy: it stands before an application in the same pod.
	Proxy bool
}

// Failure is one cause of failures in a cell, for which a reason is looked for.
type Failure struct {
	Key
	Client Client
	Cause  string
	// Times that it was seen in the cell.
	Times int
	Facts Facts
}

// rule explains failures.
type rule struct {
	of   func(Failure) bool
	says string
}

// transport are the causes that a connection shows when its server is gone.
var transport = []string{"refused", "unreachable", "reset", "closed", "truncated"}

func (f Failure) onTransport() bool { return slices.Contains(transport, f.Cause) }

// proxied says whether a reverse proxy stands between client and server: it
// answers 5xx where a client of its own would see the connection's end.
func (f Failure) proxied() bool {
	return slices.Contains([]string{"nginx", "HAProxy", "slow"}, f.Balancer)
}

func (f Failure) cut() bool { return f.onTransport() || f.proxied() && f.Cause == "status 5xx" }

// rules in the order in which they are asked: the first that knows a failure
// says why it is.
var rules = []rule{
	{
		func(f Failure) bool {
			return f.Balancer == "nginx" && f.Client == Busy && (f.Cause == "closed" || f.Cause == "reset")
		},
		"nginx as a load balancer is reloaded when a pod comes or goes, and closes its clients' idle connections then: one that sends just then is cut by nginx, which no pod can help.",
	},
	{
		func(f Failure) bool {
			return f.Balancer == "NodePort" && f.Client == Fresh && f.Cause == "refused" && f.Variant == Covered && f.Times == 1
		},
		"The node refused the connection itself: kube-proxy's rules did not match its one packet. [balancers.md](../balancers.md) has what was captured on the node. More than one of these would not be explained by it.",
	},
	{
		func(f Failure) bool { return f.Variant == None && f.Client.LongLived() },
		"No DrainPolicy: the connection ends with the process, and nobody told its client.",
	},
	{
		func(f Failure) bool { return f.Variant == None && (f.cut() || f.Cause == "timeout") },
		"No DrainPolicy: SIGTERM comes with the deletion, while load balancers still send requests to the pod.",
	},
	{
		func(f Failure) bool { return f.Variant == Bare && f.Client.LongLived() && f.Cause == CutUntold },
		"Without the middleware nobody tells the client: its connection ends with the process.",
	},
	{
		func(f Failure) bool { return f.Variant == Bare && f.Client.LongLived() && f.Cause == Lost },
		"Without the middleware the connection ends with the process, and with it messages that were on their way.",
	},
	{
		func(f Failure) bool { return f.Variant == Bare && f.Facts.Proxy && f.Cause == "status 5xx" },
		"The proxy and the application behind it in the same pod get SIGTERM apart from each other: when the application is gone first, the proxy answers 502 for it, to clients that keep their connections as long as these last.",
	},
	{
		func(f Failure) bool {
			return f.Variant == Bare && f.Client == Busy && f.Facts.OnTerm == AtOnce && f.cut()
		},
		"A connection that its client keeps busy is never idle: the pod is held until the bound, and then the server ends with the request that is on it.",
	},
	{
		func(f Failure) bool { return f.Variant == Bare && f.Client == Busy && f.cut() && !f.Facts.ClosesAlways },
		"The server closes a connection that its client keeps busy without having said `Connection: close`: the next request crosses the close. At most one per connection and pod.",
	},
	{
		func(f Failure) bool { return f.Variant == Bare && f.Client == Fresh && f.proxied() && f.cut() },
		"The proxy keeps its connections to the pod and uses them for requests that come on fresh ones: they are cut as those of a client that keeps its connection busy.",
	},
}

// Explain says in a sentence why requests fail so, "" where nobody knows.
func Explain(f Failure) string {
	for _, r := range rules {
		if r.of(f) {
			return r.says
		}
	}
	return ""
}

// Unexplained are the failures of the data that Explain has no reason for.
func (d Data) Unexplained() []Failure {
	var found []Failure
	for _, c := range d.Cells {
		for _, s := range c.Clients {
			for cause, n := range s.Failures {
				if f := c.failure(s, cause); n > 0 && Explain(f) == "" {
					found = append(found, f)
				}
			}
		}
	}
	return found
}

func (c Cell) failure(s Seen, cause string) Failure {
	return Failure{Key: c.Key, Client: s.Client, Cause: cause, Times: s.Failures[cause], Facts: factsOf(c.Server)}
}
