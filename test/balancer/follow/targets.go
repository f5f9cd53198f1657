// Package follow works out what a reverse proxy in front of pods has to do when
// the endpoints of their Service change. It is pure: test/balancer/cmd/follow
// watches, writes and speaks to the proxy.
package follow

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// Target is a pod's address and port.
type Target = netip.AddrPort

// Ready are the targets that get new requests, in the order of their addresses:
// as with ingress controllers, an endpoint that terminates is not one of them.
// Each slice tells the number of the one port that the Service has.
func Ready(endpoints []*discoveryv1.EndpointSlice) []Target {
	found := map[Target]bool{}
	for _, slice := range endpoints {
		if len(slice.Ports) != 1 || slice.Ports[0].Port == nil {
			continue
		}
		port := uint16(*slice.Ports[0].Port)
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			for _, address := range e.Addresses {
				if ip, err := netip.ParseAddr(address); err == nil {
					found[netip.AddrPortFrom(ip, port)] = true
				}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(found), compare)
}

func compare(a, b Target) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
}

// Lag is a balancer that goes on sending to a target for a while after it is
// not ready any more. New targets get requests at once.
type Lag struct {
	Delay time.Duration
	// serving targets, and until when: zero while they are ready.
	serving map[Target]time.Time
}

// Serving are the targets that get requests at a time, given those that are
// ready then, and when to ask again if nothing changes; zero for never.
func (l *Lag) Serving(now time.Time, ready []Target) (serving []Target, again time.Time) {
	if l.serving == nil {
		l.serving = map[Target]time.Time{}
	}
	for t, until := range l.serving {
		if until.IsZero() && !slices.Contains(ready, t) {
			l.serving[t] = now.Add(l.Delay)
		}
	}
	for _, t := range ready {
		l.serving[t] = time.Time{}
	}
	for t, until := range l.serving {
		switch {
		case until.IsZero():
		case !now.Before(until):
			delete(l.serving, t)
		case again.IsZero() || until.Before(again):
			again = until
		}
	}
	return slices.SortedFunc(maps.Keys(l.serving), compare), again
}
