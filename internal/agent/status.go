package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/drain-operator/drain-operator/internal/drainstatus"
	"github.com/drain-operator/drain-operator/internal/hold"
	"github.com/drain-operator/drain-operator/internal/inflight"
	"github.com/drain-operator/drain-operator/internal/rotation"
	"github.com/drain-operator/drain-operator/internal/sockets"
)

// betweenLooks is the time between the two looks of a report: short enough to
// catch a delayed acknowledgement.
const betweenLooks = 30 * time.Millisecond

// Report is what the agent sees at one moment.
type Report struct {
	// Holding are the processes that hold, with seconds since they began.
	Holding []ReportHold `json:"holding"`
	// Ports whose connections are reported; none means all.
	Ports []int32 `json:"ports,omitempty"`
	// Connections by class, those in flight, and those not yet accepted.
	Connections map[inflight.Class]int `json:"connections,omitempty"`
	InFlight    int64                  `json:"inFlight"`
	Queued      int64                  `json:"queued"`
	Listeners   []string               `json:"listeners,omitempty"`
	// AcceptedEver counts connections since the pod began.
	AcceptedEver uint64 `json:"acceptedEver,omitempty"`
	// QuietSeconds is how long silence would have to last for the pod to
	// count as out of rotation; 0 where none is long enough.
	QuietSeconds float64 `json:"quietSeconds,omitempty"`
	Rotation     string  `json:"rotation,omitempty"`
	// SocketsRefused says why nothing is known of sockets.
	SocketsRefused string `json:"socketsRefused,omitempty"`
	// Status is the drain status, where an endpoint is configured.
	Status *ReportStatus `json:"status,omitempty"`
}

// ReportHold is a process that holds.
type ReportHold struct {
	PID     int     `json:"pid"`
	Seconds float64 `json:"seconds"`
}

// ReportStatus is one answer of the status endpoint. A count that it does not
// tell is -1.
type ReportStatus struct {
	State     string `json:"state"`
	InFlight  int64  `json:"inFlight"`
	LongLived int64  `json:"longLived"`
	Reason    string `json:"reason"`
}

// Observe makes a report. Without a spec, that of a running hold is used.
func Observe(ctx context.Context, spec *hold.Spec) (Report, error) {
	holdings, err := Holdings()
	if err != nil {
		return Report{}, err
	}
	report := Report{Holding: []ReportHold{}}
	for _, h := range holdings {
		report.Holding = append(report.Holding, ReportHold{PID: h.PID, Seconds: h.Age.Seconds()})
		if spec == nil {
			spec = &h.Spec
		}
	}
	if spec == nil {
		spec = &hold.Spec{TCP: &hold.TCP{IdleSeconds: 2}}
	}
	report.Ports = spec.ServePorts
	if err := report.observeSockets(ctx, *spec); err != nil {
		report.SocketsRefused = err.Error()
	}
	if spec.HTTP != nil {
		longLived := drainstatus.Exclude
		if spec.LongLived != nil {
			longLived = drainstatus.LongLived(spec.LongLived.Policy)
		}
		reading := newAsker(newDialer(&sockets.Own{}), *spec.HTTP).ask(ctx, 0, longLived)
		report.Status = reportStatus(reading)
	}
	return report, nil
}

func reportStatus(r drainstatus.Reading) *ReportStatus {
	return &ReportStatus{State: string(r.State), InFlight: r.InFlight, LongLived: r.LongLived, Reason: r.Reason}
}

// observeSockets takes two looks, since one alone leaves ties open.
func (r *Report) observeSockets(ctx context.Context, spec hold.Spec) error {
	eye, err := sockets.Open(&sockets.Own{}, spec.ServePorts)
	if err != nil {
		return err
	}
	defer func() { _ = eye.Close() }() // nothing was written to it
	tracker := inflight.Tracker{Idle: 2 * time.Second}
	if spec.TCP != nil {
		tracker.Idle = time.Duration(spec.TCP.IdleSeconds) * time.Second
	}
	turns := rotation.New(rotation.Settings{Ports: spec.ServePorts, Max: time.Hour, Age: sockets.Age(time.Now())})
	for i := range 2 {
		if i > 0 {
			if err := sleep(ctx, betweenLooks); err != nil {
				return err
			}
		}
		look, err := eye.Look()
		if err != nil {
			return err
		}
		at := time.Duration(i) * betweenLooks
		turns.Observe(at, look)
		r.took(look, tracker.Observe(at, look, spec.ServePorts))
	}
	verdict := turns.Verdict(betweenLooks)
	r.QuietSeconds, r.Rotation = verdict.Quiet.Seconds(), verdict.Why
	return nil
}

func (r *Report) took(look inflight.Look, count inflight.Count) {
	r.Connections, r.InFlight, r.Queued = count.ByClass, count.InFlight, count.Queued
	r.AcceptedEver = look.Opens
	r.Listeners = nil
	for _, l := range look.Listeners {
		r.Listeners = append(r.Listeners, l.Local.String())
	}
	slices.Sort(r.Listeners)
}

// JSON writes the report for programs.
func (r Report) JSON(to io.Writer) error {
	encoder := json.NewEncoder(to)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// Table writes the report for people.
func (r Report) Table(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, name+"\t"+format+"\n", args...) // Flush tells the error
	}
	for _, h := range r.Holding {
		row("holding", "process %d, for %.1f s", h.PID, h.Seconds)
	}
	if len(r.Holding) == 0 {
		row("holding", "no")
	}
	switch {
	case r.SocketsRefused != "":
		row("sockets", "cannot be seen: %s", r.SocketsRefused)
	default:
		r.rows(row)
	}
	if r.Status != nil {
		row("drain status", "%s: %s", r.Status.State, r.Status.Reason)
	}
	return w.Flush()
}

func (r Report) rows(row func(name, format string, args ...any)) {
	if len(r.Ports) > 0 {
		row("ports", "%v", r.Ports)
	}
	for _, l := range r.Listeners {
		row("listens on", "%s", l)
	}
	for _, class := range []inflight.Class{inflight.Owing, inflight.Moving, inflight.Recent, inflight.Unclear, inflight.Idle, inflight.Unused} {
		row(string(class), "%d connections", r.Connections[class])
	}
	row("not accepted yet", "%d connections", r.Queued)
	row("in flight", "%d", r.InFlight)
	row("rotation", "%s", r.Rotation)
}
