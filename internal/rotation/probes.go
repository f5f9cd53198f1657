package rotation

import "time"

// anyPort stands for a connection that was not seen, only counted.
const anyPort = 0

const (
	// enough is the share of a period after which a probe is due.
	enough = 0.8

	// atMost is how many periods are saved up: a probe that comes late, on a busy
	// node, does not make the one after it an early one. Less than two, so that
	// of a request and a probe within one period, one counts.
	atMost = 1.5
)

// probe is a known probe.
type probe struct {
	Probe
	// saved is the number of periods at the time last for which no probe has come.
	saved float64
	last  time.Duration
}

// probes explain arrivals. Each takes at most one arrival per period: whatever
// else comes is traffic. A request that is taken for a probe makes the probe
// that comes within the same period count instead, so that nothing is hidden
// for longer than a period.
type probes []probe

func newProbes(known []Probe) probes {
	var p probes
	for _, k := range known {
		if !k.PastOnly && k.Period > 0 {
			p = append(p, probe{Probe: k, saved: 1})
		}
	}
	return p
}

// explains says whether an arrival on port is a probe's, and takes it as one.
func (p probes) explains(at time.Duration, port uint16) bool {
	for i := range p {
		p[i].save(at)
		if p[i].saved >= enough && (port == anyPort || port == p[i].Port) {
			p[i].saved = max(0, p[i].saved-1)
			return true
		}
	}
	return false
}

// save what has passed since the last time.
func (p *probe) save(at time.Duration) {
	p.saved = min(atMost, p.saved+(at-p.last).Seconds()/p.Period.Seconds())
	p.last = at
}
