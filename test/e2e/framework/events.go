package framework

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Event is what the operator told of an object.
type Event struct{ Type, Reason string }

// eventSource is the reporting controller of the operator's events.
const eventSource = "drain-operator.dev/drain-operator"

// Events of holds.
var (
	EventHeld      = Event{"Normal", "Held"}
	EventReleased  = Event{"Normal", "Released"}
	EventGivenUp   = Event{"Warning", "Released"}
	EventTakenBack = Event{"Normal", "TakenBack"}
	EventOtherwise = Event{"Normal", "HoldEnded"}
	eventsOfAHold  = map[Event]bool{EventHeld: true, EventReleased: true, EventGivenUp: true, EventTakenBack: true, EventOtherwise: true}
)

// ExpectEvents waits until the operator has told exactly these events of a
// pod's holds, each once unless it is listed more often. It returns what they
// say, for the report.
func (n *Namespace) ExpectEvents(ctx context.Context, pod string, want ...Event) (notes string) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		list, err := n.Kube.EventsV1().Events(n.Name).List(ctx, metav1.ListOptions{
			FieldSelector: "regarding.name=" + pod + ",regarding.kind=Pod",
		})
		g.Expect(err).NotTo(HaveOccurred())
		notes = ""
		var told []Event
		for _, e := range list.Items {
			this := Event{e.Type, e.Reason}
			if e.ReportingController != eventSource || !eventsOfAHold[this] {
				continue
			}
			times := 1
			if e.Series != nil {
				times = int(e.Series.Count)
			}
			for range times {
				told = append(told, this)
			}
			notes += e.Reason + ": " + e.Note + "\n"
		}
		g.Expect(told).To(ConsistOf(want), notes)
	}).WithContext(ctx).WithTimeout(short).WithPolling(glance).Should(Succeed())
	return notes
}
