package condition

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// Event is one to be recorded about the policy.
type Event struct {
	// Type is Normal or Warning.
	Type   string
	Reason string
	// Action is what the operator did or saw.
	Action  string
	Message string
}

// Actions of events.
const (
	ActionCheck = "Check"
	ActionDrain = "Drain"
)

// good is the status of each condition with which all is well.
var good = map[string]metav1.ConditionStatus{
	v1alpha1.ConditionReady:                  metav1.ConditionTrue,
	v1alpha1.ConditionConflicting:            metav1.ConditionFalse,
	v1alpha1.ConditionAgentInstallable:       metav1.ConditionTrue,
	v1alpha1.ConditionDrainStatusReachable:   metav1.ConditionTrue,
	v1alpha1.ConditionLatencyObserved:        metav1.ConditionTrue,
	v1alpha1.ConditionGraceWithinCeilings:    metav1.ConditionTrue,
	v1alpha1.ConditionHoldWithinDeadlines:    metav1.ConditionTrue,
	v1alpha1.ConditionServerStopsInTime:      metav1.ConditionTrue,
	v1alpha1.ConditionFrontsCovered:          metav1.ConditionTrue,
	v1alpha1.ConditionConnectionsYoungEnough: metav1.ConditionTrue,
}

// transitions tells of conditions that became bad, or good again. PodsInjected
// is told by the counters, and changes with every rollout.
func transitions(before, after []metav1.Condition) []Event {
	var events []Event
	for _, c := range after {
		well, told := good[c.Type]
		if !told || c.Status == metav1.ConditionUnknown {
			continue
		}
		old := meta.FindStatusCondition(before, c.Type)
		switch {
		case old != nil && old.Status == c.Status:
		case c.Status != well:
			events = append(events, Event{Type: corev1.EventTypeWarning, Reason: c.Reason, Action: ActionCheck, Message: Shorten(c.Message)})
		case c.Type == v1alpha1.ConditionReady || old != nil && old.Status != metav1.ConditionUnknown:
			events = append(events, Event{Type: corev1.EventTypeNormal, Reason: c.Reason, Action: ActionCheck, Message: Shorten(c.Message)})
		}
	}
	return events
}

// drainEvents tells of drains that did not end as they should, one event for
// each outcome: a rollout gone wrong must not become hundreds of writes.
func drainEvents(ended []v1alpha1.DrainRecord) []Event {
	by := map[v1alpha1.Outcome][]v1alpha1.DrainRecord{}
	for _, r := range ended {
		if r.Outcome != v1alpha1.OutcomeDrained {
			by[r.Outcome] = append(by[r.Outcome], r)
		}
	}
	var events []Event
	for _, outcome := range slices.Sorted(maps.Keys(by)) {
		events = append(events, Event{
			Type: corev1.EventTypeWarning, Reason: "Drain" + string(outcome), Action: ActionDrain, Message: said(by[outcome]),
		})
	}
	return events
}

// said names the drains, at most three of them.
func said(records []v1alpha1.DrainRecord) string {
	var parts []string
	for _, r := range records[:min(len(records), 3)] {
		part := fmt.Sprintf("%s after %d s: %s", r.Pod, r.DurationSeconds, r.Reason)
		if r.InFlight > 0 {
			part += fmt.Sprintf(" (%d in flight)", r.InFlight)
		}
		parts = append(parts, part)
	}
	if more := len(records) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return Shorten(strings.Join(parts, "; "))
}

// largest renders so many counts, the largest first: "3 of a, 1 of b, and 2 more".
func largest(counts map[string]int32, most int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b))
	})
	var parts []string
	for _, name := range names[:min(len(names), most)] {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	if more := len(names) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}

// listed renders counts, the names in order: "3 of a, 1 of b".
func listed(counts map[string]int32) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

func pods(n int32) string { return count32(n, "pod") }

func count32(n int32, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// maxMessage is how much of a message is kept, in bytes: an event has room for
// 1024, and what others write into messages is bounded by nobody.
const maxMessage = 768

// Shorten bounds a message.
func Shorten(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage], "") + "…"
}
