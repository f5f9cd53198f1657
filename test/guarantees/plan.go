package guarantees

import (
	"slices"
	"time"
)

// Matrix is which cells are asked for.
type Matrix struct {
	// Servers and Balancers by name, in the order in which they are run.
	Servers   []string
	Balancers []string
	Events    []Event
	Variants  []Variant
	Operator  Operator
	// Thorough are the servers that are run behind every balancer; the others
	// are behind the first only, as bare ones are. All are where it is empty.
	Thorough []string
	// Control is the server that is run without a policy, behind the first
	// balancer and with the first event: that the load notices what is cut.
	Control string
}

// Ground is a workload behind a balancer, on which some events take place one
// after the other. With the operator down each event has a ground of its own:
// pods that come back are not injected then.
type Ground struct {
	Server   string
	Variant  Variant
	Operator Operator
	Balancer string
	Events   []Event
}

// Cells are the keys of a ground's cells.
func (g Ground) Cells() []Key {
	var keys []Key
	for _, e := range g.Events {
		keys = append(keys, g.Key(e))
	}
	return keys
}

// Key is that of the cell of one event.
func (g Ground) Key(e Event) Key {
	return Key{Server: g.Server, Variant: g.Variant, Operator: g.Operator, Balancer: g.Balancer, Event: e}
}

// Grounds are what the matrix asks for without the cells that are done: what
// every server does behind the first balancer comes first.
func (m Matrix) Grounds(done func(Key) bool) []Ground {
	var grounds []Ground
	for _, balancer := range m.Balancers {
		for _, variant := range m.Variants {
			for _, server := range m.Servers {
				for _, g := range m.grounds(server, variant, balancer) {
					g.Events = slices.DeleteFunc(g.Events, func(e Event) bool { return done(g.Key(e)) })
					if len(g.Events) > 0 {
						grounds = append(grounds, g)
					}
				}
			}
		}
	}
	return grounds
}

func (m Matrix) grounds(server string, variant Variant, balancer string) []Ground {
	first := balancer == m.Balancers[0]
	if !first && (len(m.Thorough) > 0 && !slices.Contains(m.Thorough, server)) {
		return nil
	}
	g := Ground{Server: server, Variant: variant, Operator: m.Operator, Balancer: balancer, Events: slices.Clone(m.Events)}
	if variant != Covered {
		// What is bare is shown, not proven.
		if !first {
			return nil
		}
		g.Events = g.Events[:1]
	}
	if variant == None && (server != m.Control || m.Operator == Down) {
		return nil
	}
	if m.Operator == Up {
		return []Ground{g}
	}
	var single []Ground
	for _, e := range g.Events {
		one := g
		one.Events = []Event{e}
		single = append(single, one)
	}
	return single
}

// Cost is how long cells take.
type Cost struct {
	// Setup is per ground, Event per cell with enough requests, Part where
	// fewer suffice, Slow what a slow balancer adds to a cell.
	Setup, Event, Part, Slow time.Duration
}

// Of is how long grounds take with so many at a time.
func (c Cost) Of(grounds []Ground, parallel int) time.Duration {
	var sum time.Duration
	for _, g := range grounds {
		sum += c.Ground(g)
	}
	return sum / time.Duration(max(1, min(parallel, len(grounds))))
}

// Ground is how long one takes.
func (c Cost) Ground(g Ground) time.Duration {
	sum := c.Setup
	for range g.Events {
		if g.Variant == Covered {
			sum += c.Event
		} else {
			sum += c.Part
		}
		if g.Balancer == "slow" {
			sum += c.Slow
		}
	}
	return sum
}
