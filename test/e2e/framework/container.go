package framework

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// WorkloadReport is what the workload says of itself; test/e2e/workload has its twin.
type WorkloadReport struct {
	Event        string    `json:"event"`
	At           time.Time `json:"at"`
	InFlight     int       `json:"inFlight"`
	Served       int       `json:"served"`
	Notified     bool      `json:"notified"`
	LastRequest  time.Time `json:"lastRequest"`
	LastResponse time.Time `json:"lastResponse"`
}

// reportPrefix starts each report in the termination message.
const reportPrefix = "workload: "

// End is how one container of a drained pod ended.
type End struct {
	corev1.ContainerStateTerminated
	// Result is what the agent said; nil when it said nothing.
	Result *hold.Result
	// Sigterm is the workload's report; nil when it got no SIGTERM.
	Sigterm *WorkloadReport
	// Stop is its report of a stop signal; nil when it got none.
	Stop *WorkloadReport
	// Held is the time from the deletion to SIGTERM.
	Held time.Duration
}

// App is the end of the container "app".
func (d Drain) App() End {
	GinkgoHelper()
	return d.Container("app")
}

// Container is the end of a container by its name.
func (d Drain) Container(name string) End {
	GinkgoHelper()
	for _, status := range d.Pod.Status.ContainerStatuses {
		if status.Name == name {
			Expect(status.State.Terminated).NotTo(BeNil(), "%s/%s was not seen to end: %+v", d.Pod.Name, name, status.State)
			return endOf(*status.State.Terminated, d.Asked)
		}
	}
	Fail(fmt.Sprintf("pod %s has no container %s", d.Pod.Name, name))
	return End{}
}

// endOf reads how a container ended, whose end was asked for then.
func endOf(t corev1.ContainerStateTerminated, asked time.Time) End {
	GinkgoHelper()
	end := End{ContainerStateTerminated: t}
	result, ok, err := hold.ParseMessage(t.Message)
	Expect(err).NotTo(HaveOccurred(), "termination message %q", t.Message)
	if ok {
		end.Result = &result
	}
	for line := range strings.Lines(t.Message) {
		if text, ok := strings.CutPrefix(line, reportPrefix); ok {
			var r WorkloadReport
			Expect(json.Unmarshal([]byte(text), &r)).To(Succeed(), "termination message %q", t.Message)
			switch r.Event {
			case "sigterm":
				end.Sigterm = &r
				end.Held = r.At.Sub(asked)
			case "stop":
				end.Stop = &r
			}
		}
	}
	return end
}

// ExpectOutcome fails the spec unless the agent ended its hold in that way.
func (e End) ExpectOutcome(outcome string) {
	GinkgoHelper()
	Expect(e.Result).NotTo(BeNil(), "the agent said nothing: %q", e.Message)
	Expect(e.Result.Outcome).To(Equal(outcome), "%+v", *e.Result)
}

// ExpectDrained fails the spec unless SIGTERM came, when nothing was in flight
// any more, and the agent says so too.
func (e End) ExpectDrained() {
	GinkgoHelper()
	e.ExpectOutcome(hold.OutcomeDrained)
	e.ExpectNothingCut()
}

// ExpectNothingCut fails the spec if SIGTERM came while requests were in flight.
func (e End) ExpectNothingCut() {
	GinkgoHelper()
	Expect(e.Sigterm).NotTo(BeNil(), "no SIGTERM was reported, exit code %d: %q", e.ExitCode, e.Message)
	Expect(e.Sigterm.InFlight).To(BeZero(), "requests were in flight at SIGTERM: %q", e.Message)
}
