package rotation

import "time"

// anyPort stands for a connection that was not seen, only counted.
const anyPort = 0

// early is how much of its period a probe may come too early.
const early = 10

// probe is a known probe and when it was last believed to have come.
type probe struct {
	Probe
	last time.Duration
	came bool
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
			p = append(p, probe{Probe: k})
		}
	}
	return p
}

// explains says whether an arrival on port is a probe's, and takes it as one.
func (p probes) explains(at time.Duration, port uint16) bool {
	for i := range p {
		due := !p[i].came || at-p[i].last >= p[i].Period-p[i].Period/early
		if due && (port == anyPort || port == p[i].Port) {
			p[i].last, p[i].came = at, true
			return true
		}
	}
	return false
}
