package drain

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/hold"
)

// severity orders outcomes: a pod's is the worst of its containers.
var severity = map[v1alpha1.Outcome]int{
	v1alpha1.OutcomeForced:   5,
	v1alpha1.OutcomeTimedOut: 4,
	v1alpha1.OutcomeUnknown:  3,
	v1alpha1.OutcomeSkipped:  2,
	v1alpha1.OutcomeDrained:  1,
}

// heldByAgent judges the containers that ran the agent, and takes the worst.
// Containers that only follow (a proxy beside the app) count only when none serves.
func heldByAgent(e Ended, t times) (verdict, bool) {
	held := agentContainers(e.Pod)
	if len(held) == 0 {
		return verdict{}, false
	}
	var worst verdict
	var inFlight int64
	for _, c := range held {
		v := judgeContainer(e, t, c)
		inFlight = max(inFlight, v.inFlight)
		if len(held) > 1 && v.reason != "" {
			v.reason = c.Name + ": " + v.reason
		}
		if severity[v.outcome] > severity[worst.outcome] {
			worst = v
		}
	}
	worst.inFlight = inFlight
	return worst, true
}

// agentContainers are the containers with the agent's hook that serve, or all
// that have it when none does.
func agentContainers(pod *corev1.Pod) []corev1.Container {
	var serving, all []corev1.Container
	for _, c := range pod.Spec.Containers {
		if !hasAgentHook(c) {
			continue
		}
		all = append(all, c)
		if spec, err := hold.ParseCommand(c.Lifecycle.PreStop.Exec.Command); err != nil || spec.Role == hold.RoleServe {
			serving = append(serving, c)
		}
	}
	if len(serving) > 0 {
		return serving
	}
	return all
}

func hasAgentHook(c corev1.Container) bool {
	return c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Exec != nil &&
		hold.IsAgentCommand(c.Lifecycle.PreStop.Exec.Command)
}

// judgeContainer says how the hold of one container ended.
func judgeContainer(e Ended, t times, c corev1.Container) verdict {
	state := terminated(e.Pod, c.Name)
	if state == nil { // waiting to be started again
		return notRunning
	}
	result, found, err := hold.ParseMessage(state.Message)
	switch {
	case err != nil:
		return verdict{outcome: v1alpha1.OutcomeUnknown, cause: v1alpha1.CauseResultUnreadable, reason: bounded(err.Error())}
	case found:
		return t.withResult(state, result)
	default:
		return t.withoutResult(state, c, e.FailedHooks[c.Name])
	}
}

var notRunning = verdict{
	outcome: v1alpha1.OutcomeSkipped,
	cause:   v1alpha1.CauseNothingRan,
	reason:  "the container was not running when the deletion came",
}

// withResult takes the agent's word, and adds what it could not see: that the
// process was killed afterwards.
func (t times) withResult(state *corev1.ContainerStateTerminated, r hold.Result) verdict {
	v := verdict{
		outcome:  v1alpha1.Outcome(r.Outcome),
		cause:    causes[r.Outcome],
		reason:   bounded(r.Reason),
		inFlight: r.InFlight,
	}
	if !t.killed(state) {
		return v
	}
	forced := t.forced()
	forced.inFlight = r.InFlight
	forced.reason = fmt.Sprintf("%s; the hold had ended after %.0f s: %s", forced.reason, math.Ceil(r.HeldSeconds), r.Outcome)
	return forced
}

var causes = map[string]v1alpha1.Cause{
	hold.OutcomeDrained:  v1alpha1.CauseHoldEnded,
	hold.OutcomeTimedOut: v1alpha1.CauseBoundReached,
	hold.OutcomeSkipped:  v1alpha1.CauseReleased,
	hold.OutcomeUnknown:  v1alpha1.CauseStatusUnreadable,
}

// withoutResult explains a missing line: something ended the container before
// the agent could write, or it had nothing to write.
func (t times) withoutResult(state *corev1.ContainerStateTerminated, c corev1.Container, hookFailed bool) verdict {
	logsOnError := c.TerminationMessagePolicy == corev1.TerminationMessageFallbackToLogsOnError
	switch {
	case t.before(state):
		return notRunning
	case state.Reason == reasonStatusUnknown:
		return verdict{outcome: v1alpha1.OutcomeUnknown, cause: v1alpha1.CauseEndNotObserved, reason: "the kubelet lost track of the container"}
	case state.Reason == reasonOOMKilled:
		return verdict{outcome: v1alpha1.OutcomeUnknown, cause: v1alpha1.CauseOutOfMemory, reason: "the container ran out of memory during its hold"}
	case t.killed(state), t.cutShort(state), !logsOnError && t.elapsed(state) >= t.asked:
		// Before hookFailed: the kubelet reports a hook that was cut off with its
		// container as failed, too.
		return t.forced()
	case hookFailed:
		return verdict{outcome: v1alpha1.OutcomeSkipped, cause: v1alpha1.CauseHookFailed, reason: "the hook could not be run (event FailedPreStopHook)"}
	case logsOnError: // the agent is silent when drained, so that the logs are kept
		return verdict{outcome: v1alpha1.OutcomeDrained, cause: v1alpha1.CauseHoldEnded}
	default:
		return verdict{
			outcome: v1alpha1.OutcomeUnknown,
			cause:   v1alpha1.CauseEndedByItself,
			reason: fmt.Sprintf("the container ended by itself after %.0f s with exit code %d, before its hold did",
				t.elapsed(state).Seconds(), state.ExitCode),
		}
	}
}

// forced says which grace was spent.
func (t times) forced() verdict {
	if t.asked < t.own {
		return verdict{
			outcome: v1alpha1.OutcomeForced,
			cause:   v1alpha1.CauseShorterGrace,
			reason:  fmt.Sprintf("a grace of %.0f s was asked for, the pod has %.0f s", t.asked.Seconds(), t.own.Seconds()),
		}
	}
	return verdict{
		outcome: v1alpha1.OutcomeForced,
		cause:   v1alpha1.CauseGraceSpent,
		reason:  fmt.Sprintf("the grace of %.0f s was spent", t.asked.Seconds()),
	}
}

// bounded keeps what a workload wrote printable and within the API's bound.
func bounded(s string) string {
	runes := []rune(printable(s))
	return string(slices.Clip(runes[:min(len(runes), 256)]))
}

// printable has a space for each character that is not.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
