package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/internal/hold"
)

// rotated is how long before its last response a pod must have been out of
// rotation for the response to be what it was waiting for.
const rotated = 250 * time.Millisecond

// report is what the workload says of its SIGTERM; test/e2e/workload has its twin.
type report struct {
	Event        string    `json:"event"`
	At           time.Time `json:"at"`
	InFlight     int       `json:"inFlight"`
	LastResponse time.Time `json:"lastResponse"`
}

// reportPrefix starts each report in the termination message.
const reportPrefix = "workload: "

// take waits for the end of a pod and adds its time to the sample of its mode.
func (b *bench) take(ctx context.Context, p one) error {
	life, err := b.AwaitGone(ctx, p.pod.Name)
	if err != nil {
		return err
	}
	late, counts, err := judge(life.Pod)
	switch {
	case err != nil:
		b.failed++
		b.say("pod %s, %s: %v", p.pod.Name, p.mode.name, errors.Join(err, b.warnings(ctx, p.pod.Name)))
	case counts:
		b.samples[p.mode.name] = append(b.samples[p.mode.name], late)
	default:
		b.tooEarly++
	}
	return nil
}

// judge reads how late SIGTERM came from what pod and agent said, and whether
// it was the response that the agent waited for, and not the end of rotation.
// It is an error if the pod did not drain as it should.
func judge(pod *corev1.Pod) (late time.Duration, counts bool, err error) {
	message, err := lastMessage(pod)
	if err != nil {
		return 0, false, err
	}
	result, ok, err := hold.ParseMessage(message)
	if err != nil {
		return 0, false, err
	}
	if !ok || result.Outcome != hold.OutcomeDrained {
		return 0, false, fmt.Errorf("it has not drained: %q", message)
	}
	sigterm, err := sigtermReport(message)
	if err != nil {
		return 0, false, err
	}
	if sigterm.InFlight > 0 || sigterm.LastResponse.IsZero() {
		return 0, false, fmt.Errorf("SIGTERM came while something was in flight, or nothing ever was: %q", message)
	}
	late = sigterm.At.Sub(sigterm.LastResponse)
	afterRotation := time.Duration((result.HeldSeconds - result.RotationSeconds) * float64(time.Second))
	return late, afterRotation > late+rotated, nil
}

// warnings are the events that say what went wrong with a pod.
func (b *bench) warnings(ctx context.Context, pod string) error {
	events, err := b.Kube.CoreV1().Events(b.Name).List(ctx, metav1.ListOptions{FieldSelector: "type=Warning,involvedObject.name=" + pod})
	if err != nil {
		return err
	}
	for _, e := range events.Items {
		err = errors.Join(err, fmt.Errorf("%s %s: %s", e.LastTimestamp.Format(time.TimeOnly), e.Reason, e.Message))
	}
	return err
}

func lastMessage(pod *corev1.Pod) (string, error) {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Terminated != nil {
			return s.State.Terminated.Message, nil
		}
	}
	return "", errors.New("it was not seen to end")
}

func sigtermReport(message string) (report, error) {
	for line := range strings.Lines(message) {
		text, ok := strings.CutPrefix(line, reportPrefix)
		if !ok {
			continue
		}
		var r report
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			return report{}, fmt.Errorf("report %q: %w", text, err)
		}
		if r.Event == "sigterm" {
			return r, nil
		}
	}
	return report{}, fmt.Errorf("it says nothing of a SIGTERM: %q", message)
}
