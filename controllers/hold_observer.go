package controllers

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/condition"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/telemetry"
)

// Reasons of events about held pods. There is one at the beginning and one at
// the end of a hold, none for each refusal.
const (
	eventHeld      = "Held"
	eventReleased  = "Released"
	eventTakenBack = "TakenBack"
	eventHoldOver  = "HoldEnded"
)

// holdObserver is the HoldObserver: events on the pod, and metrics.
type holdObserver struct {
	recorder events.EventRecorder
	metrics  *telemetry.Holds
}

// Began implements HoldObserver.
func (o *holdObserver) Began(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, message string) {
	o.event(pod, policy, corev1.EventTypeNormal, eventHeld, message)
}

// Ended implements HoldObserver.
func (o *holdObserver) Ended(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, end drain.HoldEnd, message string, held time.Duration) {
	if name, _, injected := plan.InjectedBy(pod); injected {
		o.metrics.Ended(pod.Namespace, name, end, held)
	}
	eventType, reason := told(end)
	o.event(pod, policy, eventType, reason, fmt.Sprintf("after %.0f s: %s", held.Seconds(), message))
}

// told is how an end reads as an event. A warning is what the workload's owner
// may want to do something about.
func told(end drain.HoldEnd) (eventType, reason string) {
	switch end {
	case drain.EndTakenBack, drain.EndExpired:
		return corev1.EventTypeNormal, eventTakenBack
	case drain.EndGone:
		return corev1.EventTypeNormal, eventHoldOver
	case drain.EndBound, drain.EndStatus:
		return corev1.EventTypeWarning, eventReleased
	default:
		return corev1.EventTypeNormal, eventReleased
	}
}

func (o *holdObserver) event(pod *corev1.Pod, policy *v1alpha1.DrainPolicy, eventType, reason, message string) {
	var related runtime.Object
	if policy != nil {
		related = policy
	}
	o.recorder.Eventf(pod, related, eventType, reason, condition.ActionDrain, "%s", condition.Shorten(message))
}
