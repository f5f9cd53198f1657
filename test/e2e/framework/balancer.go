package framework

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/drain-operator/drain-operator/test/balancer"
)

// Balance puts a load balancer in front of the pods labelled app: name, which
// are Balanced, and returns the address of their work behind it.
func (n *Namespace) Balance(ctx context.Context, name string, kind balancer.Kind) string {
	GinkgoHelper()
	address, err := balancer.Start(ctx, n.Config, n.Name, name, imageOf("drain-servers"), kind)
	Expect(err).NotTo(HaveOccurred())
	return fmt.Sprintf("http://%s/work", address)
}

// Balanced gives the port of the last container the name by which load
// balancers know it.
func (b *PodBuilder) Balanced() *PodBuilder {
	b.last().Ports[0].Name = "http"
	return b
}

// Turn is when a pod got its last request, and when SIGTERM, both counted from
// its deletion.
type Turn struct{ LastRequest, LastResponse, Sigterm time.Duration }

// Turn of a drain.
func (d Drain) Turn() Turn {
	GinkgoHelper()
	s := d.App().Sigterm
	Expect(s).NotTo(BeNil(), "no SIGTERM was reported")
	return Turn{s.LastRequest.Sub(d.Asked), s.LastResponse.Sub(d.Asked), s.At.Sub(d.Asked)}
}

// Turns of drains, in the order of their ends.
func Turns(drains []Drain) (turns []Turn) {
	GinkgoHelper()
	for _, d := range drains {
		turns = append(turns, d.Turn())
	}
	return turns
}

// Saved tells how much longer a fixed sleep would have held pods.
func Saved(turns []Turn, sleep time.Duration) string {
	var after, held time.Duration
	text := ""
	for _, t := range turns {
		text += fmt.Sprintf("last request %.1f s and last response %.1f s after the deletion, SIGTERM %.1f s\n",
			t.LastRequest.Seconds(), t.LastResponse.Seconds(), t.Sigterm.Seconds())
		after += t.Sigterm - t.LastRequest
		held += t.Sigterm
	}
	n := time.Duration(max(1, len(turns)))
	return fmt.Sprintf("%d pods: from the last request to SIGTERM %.1f s, held for %.1f s, in the mean. A fixed sleep of %.0f s: %.1f s saved per pod\n%s",
		len(turns), (after / n).Seconds(), (held / n).Seconds(), sleep.Seconds(), (sleep - held/n).Seconds(), text)
}
