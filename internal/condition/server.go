package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	"github.com/drain-operator/drain-operator/internal/server"
)

// serverStopsInTime says whether servers are known to cut requests that are in
// flight when the policy lets go of their pods.
//
// Where the agent waits until the pod has drained, nothing is in flight then,
// but for what the hold's bound cuts off: what a server gives those is not its
// concern. Where the pod is let go earlier (releaseWhen OutOfRotation, a native
// sleep, a hook of its own, none), a request may have just begun. It needs as
// long as the longest requests take, as far as measured; else, as everywhere,
// the pod's own grace stands for it. A server that gives it less, or ends at
// once on the signal that it gets, cuts it.
func serverStopsInTime(p *v1alpha1.DrainPolicy, g *v1alpha1.GraceStatus, pods []*corev1.Pod) metav1.Condition {
	findings := findServers(p, g, pods)
	worst := finding{status: metav1.ConditionUnknown, reason: v1alpha1.ReasonNoServerSeen,
		message: "no container's command shows a server whose graceful timeout is known"}
	if len(findings) > 0 {
		worst = findings[0]
		worst.message = told(findings)
	}
	return metav1.Condition{
		Type: v1alpha1.ConditionServerStopsInTime, Status: worst.status, Reason: worst.reason, Message: Shorten(worst.message),
	}
}

// finding is what is known of a container's server.
type finding struct {
	where   string // workload/container
	status  metav1.ConditionStatus
	reason  string
	message string
}

// severity orders findings: what a person has to mend comes first.
var severity = map[metav1.ConditionStatus]int{metav1.ConditionFalse: 0, metav1.ConditionUnknown: 1, metav1.ConditionTrue: 2}

// findServers looks at each template once, and returns the worst first.
func findServers(p *v1alpha1.DrainPolicy, g *v1alpha1.GraceStatus, pods []*corev1.Pod) []finding {
	need := neededAtRelease(g, pods)
	seen := map[*corev1.Container]bool{} // pods of one owner share their containers in the cache
	found := map[finding]bool{}
	for _, pod := range pods {
		if len(pod.Spec.Containers) == 0 || seen[&pod.Spec.Containers[0]] {
			continue
		}
		seen[&pod.Spec.Containers[0]] = true
		for i := range pod.Spec.Containers {
			if f, ok := judge(p, pod, &pod.Spec.Containers[i], need); ok {
				found[f] = true
			}
		}
	}
	var findings []finding
	for f := range found {
		findings = append(findings, f)
	}
	slices.SortFunc(findings, func(a, b finding) int {
		return cmp.Or(cmp.Compare(severity[a.status], severity[b.status]), strings.Compare(a.reason, b.reason),
			strings.Compare(a.where, b.where), strings.Compare(a.message, b.message))
	})
	return findings
}

// told names the containers of the first finding's reason, at most three.
func told(findings []finding) string {
	first := findings[0]
	if first.status == metav1.ConditionTrue {
		return first.message
	}
	var parts []string
	same := 0
	for _, f := range findings {
		if f.reason != first.reason {
			continue
		}
		if same++; same <= maxNamed {
			parts = append(parts, f.where+": "+f.message)
		}
	}
	if more := same - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

// needs is how long a request that has just begun may take.
type needs struct {
	seconds int64
	what    string
}

func neededAtRelease(g *v1alpha1.GraceStatus, pods []*corev1.Pod) needs {
	if g != nil && g.HoldSeconds != nil && g.LatencyMilliseconds != nil {
		return needs{(*g.LatencyMilliseconds + 999) / 1000, fmt.Sprintf("P%s of their latency", g.Percentile)}
	}
	return needs{OwnGrace(pods), "the pods' own grace"}
}

// judge is what a container's server does to requests that are in flight when
// the policy lets go of its pod. ok is false where nothing is known of it.
func judge(p *v1alpha1.DrainPolicy, pod *corev1.Pod, of *corev1.Container, need needs) (f finding, ok bool) {
	set := func(status metav1.ConditionStatus, reason, format string, args ...any) (finding, bool) {
		return finding{plan.WorkloadOf(pod).Name + "/" + of.Name, status, reason, fmt.Sprintf(format, args...)}, true
	}
	s, known := server.Of(of)
	if !known && p.Spec.PreStop.StopSignal == "" {
		return finding{}, false
	}
	c := container{Container: of, policy: p, pod: pod, agent: agentOf(of)}
	switch why := c.notSent(); {
	case why != "":
		return set(metav1.ConditionFalse, v1alpha1.ReasonStopSignalNotSent, "preStop.stopSignal is not sent there: %s", why)
	case !known:
		return finding{}, false
	}
	signal, by := c.signal()
	ending, busy := s.On(signal), c.releasedBusy()
	switch {
	case by == byPolicy && ending != server.Softly:
		return set(metav1.ConditionFalse, v1alpha1.ReasonStopSignalWrong, "%s %s on %s, which preStop.stopSignal sends; softly on %s",
			s.Kind, ends[ending], signal, s.SoftSignal())
	case busy == "":
		return set(metav1.ConditionTrue, v1alpha1.ReasonNothingInFlight,
			"nothing is in flight when the servers are told to end, but what the hold's bound cuts off")
	case ending != server.Softly && by == byDefault:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonStopSignalUnknown,
			"%s %s on SIGTERM, and %s; its image may name another STOPSIGNAL. preStop.stopSignal %s, with strategy Agent, makes it sure", s.Kind, ends[ending], busy, s.SoftSignal())
	case ending != server.Softly:
		return set(metav1.ConditionFalse, v1alpha1.ReasonServerEndsAtOnce,
			"%s %s on %s, its stop signal, and %s; it ends softly on %s", s.Kind, ends[ending], signal, busy, s.SoftSignal())
	case !s.Known:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonTimeoutUnknown,
			"how long %s lets requests go on after %s is not seen in the pod (%s), and %s; they may need %d s (%s)",
			s.Kind, signal, unseen[s.From], busy, need.seconds, need.what)
	case s.Timeout == nil || *s.Timeout >= need.seconds:
		return set(metav1.ConditionTrue, v1alpha1.ReasonTimeoutsLongEnough,
			"the servers' graceful timeouts are no shorter than requests may take (%d s, %s)", need.seconds, need.what)
	case p.Spec.GracePeriod.ServerTimeout == v1alpha1.ServerTimeoutAlign && s.Unset(of):
		return set(metav1.ConditionUnknown, v1alpha1.ReasonAlignedAtNextRollout, "the graceful timeout of %s gets longer with the next rollout", s.Kind)
	}
	return set(metav1.ConditionFalse, v1alpha1.ReasonTimeoutTooShort,
		"%s lets requests go on for %d s after %s (%s), and %s; they may need %d s (%s). Set %s to as much or more",
		s.Kind, *s.Timeout, signal, seenIn(s), busy, need.seconds, need.what, s.Flag())
}

var ends = map[server.Ending]string{server.AtOnce: "ends at once", server.NotAtAll: "does not end"}

var unseen = map[server.From]string{
	server.FromFile:      "a configuration file may set it",
	server.FromElsewhere: "its variable comes from elsewhere",
	server.FromCommand:   "its flag has no number",
	server.FromVariable:  "its variable has no number",
}

func seenIn(s server.Server) string {
	switch s.From {
	case server.FromCommand:
		return "by its command"
	case server.FromVariable:
		return "by its environment"
	}
	return "its default, unless a configuration file in the image says otherwise"
}
