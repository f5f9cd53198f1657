package waiting

import (
	"net/netip"
	"testing"
	"time"

	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
)

// The looks on which the end of a pod hangs do not wait until the one before is
// paid for.
func TestDecisiveLooksComeInTime(t *testing.T) {
	const expensive = 10 * time.Millisecond // 500 ms until the next
	local := netip.MustParseAddrPort("10.0.0.2:8080")
	answered := func(id uint64, ago time.Duration) inflight.Conn {
		return inflight.Conn{ID: id, Local: local, Accepted: true, Received: 1, Sent: 1, SinceReceived: ago + time.Second, SinceSent: ago}
	}
	tests := map[string]struct {
		conns []inflight.Conn
		cost  time.Duration
		want  time.Duration
	}{
		"nothing in flight: the second look follows":  {nil, expensive, leastTCPInterval},
		"all has aged soon: then":                     {[]inflight.Conn{answered(1, 1900*time.Millisecond)}, expensive, 100 * time.Millisecond},
		"the last to age counts":                      {[]inflight.Conn{answered(1, 1900*time.Millisecond), answered(2, 1700*time.Millisecond)}, expensive, 300 * time.Millisecond},
		"all has aged later than the next look":       {[]inflight.Conn{answered(1, 0)}, expensive, 500 * time.Millisecond},
		"all has aged sooner than looks are apart":    {[]inflight.Conn{answered(1, 1995*time.Millisecond)}, 0, 5 * time.Millisecond},
		"one owes a response: the others do not help": {[]inflight.Conn{answered(1, 1900*time.Millisecond), {ID: 2, Local: local, Accepted: true, Received: 1}}, expensive, 500 * time.Millisecond},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			l := newLooks(hold.Spec{TCP: &hold.TCP{IdleSeconds: 2}})
			l.took(0, inflight.Look{Conns: tc.conns}, tc.cost)
			if l.next != tc.want {
				t.Errorf("next look after %v, want %v", l.next, tc.want)
			}
		})
	}
}
