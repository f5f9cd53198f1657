package condition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	"github.com/drain-operator/drain-operator/internal/front"
)

const (
	// MaxFronts bounds the list in a status. The API has the same.
	MaxFronts = 16

	// For how long load balancers were seen to send new work to a target after
	// its deregistration. AWS gives no figures. An ALB: a hook of 5 s was too
	// short and one of 25 s was not (aws-load-balancer-controller issue 1064).
	// An NLB: two minutes, whatever the delay (its issue 2366; issue 470 of
	// aws/containers-roadmap).
	albSendsSeconds = 25
	nlbSendsSeconds = 120
)

// Fronts are the load balancers in front of the policy's pods. Those that were
// there stay while no pod is there to tell, and while nothing is known of the
// namespace: all nil.
func Fronts(all []front.Front, covered []*corev1.Pod, was []v1alpha1.Front) []v1alpha1.Front {
	if all == nil {
		return was
	}
	templates := distinct(covered)
	var found []v1alpha1.Front
	for _, f := range all {
		behind := slices.ContainsFunc(templates, func(pod *corev1.Pod) bool { return f.Selects(pod.Labels) })
		if behind || len(templates) == 0 && slices.ContainsFunc(was, func(old v1alpha1.Front) bool { return same(old, f.Front) }) {
			found = append(found, f.Front)
		}
	}
	return found
}

func same(a, b v1alpha1.Front) bool {
	return a.Kind == b.Kind && a.Name == b.Name && a.Service == b.Service
}

// distinct leaves one pod of each ReplicaSet, whose pods have the same labels.
func distinct(pods []*corev1.Pod) []*corev1.Pod {
	var left []*corev1.Pod
	seen := map[string]bool{}
	for _, pod := range pods {
		owner := metav1.GetControllerOfNoCopy(pod)
		if owner != nil && owner.Kind == "ReplicaSet" {
			if seen[string(owner.UID)] {
				continue
			}
			seen[string(owner.UID)] = true
		}
		left = append(left, pod)
	}
	return left
}

// listedFronts keeps the API's bound: those that send to pods first, then the
// longest delays.
func listedFronts(fronts []v1alpha1.Front) []v1alpha1.Front {
	if len(fronts) <= MaxFronts {
		return fronts
	}
	kept := slices.SortedStableFunc(slices.Values(fronts), func(a, b v1alpha1.Front) int {
		return cmp.Or(-strings.Compare(string(a.Targets), string(b.Targets)), cmp.Compare(b.DeregistrationDelaySeconds, a.DeregistrationDelaySeconds))
	})[:MaxFronts]
	return slices.DeleteFunc(slices.Clone(fronts), func(f v1alpha1.Front) bool {
		return !slices.ContainsFunc(kept, func(k v1alpha1.Front) bool { return same(f, k) })
	})
}

// frontsCovered says whether the policy's times fit those of the load balancers
// in front. known says that they could be listed.
func frontsCovered(p *v1alpha1.DrainPolicy, fronts []v1alpha1.Front, known bool, grace *v1alpha1.GraceStatus) metav1.Condition {
	set := func(s metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: v1alpha1.ConditionFrontsCovered, Status: s, Reason: reason, Message: Shorten(message)}
	}
	toPods := slices.DeleteFunc(slices.Clone(fronts), func(f v1alpha1.Front) bool { return f.Targets != v1alpha1.FrontTargetsPods })
	switch {
	case len(fronts) == 0 && !known:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNotYetChecked, "the Services and Ingresses of the namespace could not be listed yet")
	case len(fronts) == 0:
		return set(metav1.ConditionUnknown, v1alpha1.ReasonNoFront, "no AWS load balancer is declared in front of the pods")
	case len(toPods) == 0:
		return set(metav1.ConditionTrue, v1alpha1.ReasonFrontsInTime, "the load balancers in front send to nodes: they do not learn of a pod that goes, and their deregistration delay does not concern it")
	}
	j := frontJudge{policy: p, grace: grace}
	var reason string
	var said []string
	for _, rule := range []struct {
		reason string
		check  func(v1alpha1.Front) (lacking int64, message string)
	}{
		{v1alpha1.ReasonPropagationTooShort, j.propagation},
		{v1alpha1.ReasonGraceTooShort, j.inTime},
		{v1alpha1.ReasonDelayTooShort, j.delay},
	} {
		if message := worst(toPods, rule.check); message != "" {
			reason = cmp.Or(reason, rule.reason)
			said = append(said, message)
		}
	}
	if reason != "" {
		return set(metav1.ConditionFalse, reason, strings.Join(said, "; "))
	}
	return set(metav1.ConditionTrue, v1alpha1.ReasonFrontsInTime, fmt.Sprintf("pods are given the time of the load balancers in front (%s)", longestDelay(toPods)))
}

// worst is what is said of the front that lacks most, empty where none does.
func worst(fronts []v1alpha1.Front, check func(v1alpha1.Front) (int64, string)) (message string) {
	var most int64
	others := -1
	for _, f := range fronts {
		lacking, said := check(f)
		if lacking > 0 {
			others++
		}
		if lacking > most {
			most, message = lacking, said
		}
	}
	if others > 0 {
		message += fmt.Sprintf(" (and %d more)", others)
	}
	return message
}

func longestDelay(fronts []v1alpha1.Front) string {
	f := slices.MaxFunc(fronts, func(a, b v1alpha1.Front) int {
		return cmp.Compare(a.DeregistrationDelaySeconds, b.DeregistrationDelaySeconds)
	})
	return fmt.Sprintf("%s: deregistration delay %s", nameOfFront(f), delayOf(f))
}

func nameOfFront(f v1alpha1.Front) string { return fmt.Sprintf("%s %s", f.Kind, f.Name) }

func delayOf(f v1alpha1.Front) string {
	if f.Declared {
		return fmt.Sprintf("%d s", f.DeregistrationDelaySeconds)
	}
	return fmt.Sprintf("%d s by default", f.DeregistrationDelaySeconds)
}

// frontJudge has what a front is held against. Its rules return how many
// seconds are lacking, 0 for none, and what to say of it.
type frontJudge struct {
	policy *v1alpha1.DrainPolicy
	grace  *v1alpha1.GraceStatus
}

// propagation: new work may come for as long as the load balancer was seen to
// send it. An NLB passes on connections and not requests: over those that are
// open, requests come until their clients close them, or the delay is over,
// unless the workload is told, and says Connection: close.
func (j frontJudge) propagation(f v1alpha1.Front) (lacking int64, message string) {
	spec := j.policy.Spec.PreStop
	if spec.Strategy == v1alpha1.StrategyNone {
		return 0, ""
	}
	sends, why := int32(albSendsSeconds), "may send new requests"
	if f.LoadBalancer == v1alpha1.FrontNLB {
		sends, why = nlbSendsSeconds, "may open new connections"
		if spec.Notify == nil && f.DeregistrationDelaySeconds > sends {
			sends, why = f.DeregistrationDelaySeconds, "lets its clients send requests on the connections that they have"
		}
	}
	return int64(sends) - int64(spec.PropagationMaxSeconds), fmt.Sprintf(
		"%s %s for %d s after a pod was deregistered, and preStop.propagationMaxSeconds is %d",
		nameOfFront(f), why, sends, spec.PropagationMaxSeconds)
}

// inTime: the load balancer waits for requests in flight for its delay, from
// when it stopped to send; a pod that ends before cuts them.
func (j frontJudge) inTime(f v1alpha1.Front) (lacking int64, message string) {
	given, what := j.given()
	if given == 0 {
		return 0, ""
	}
	after := int64(j.propagationSeconds())
	delay := int64(f.DeregistrationDelaySeconds)
	return delay + after - given, fmt.Sprintf(
		"%s lets requests in flight go on for %s, from some %d s after the beginning, and the pod has %d s (%s): set deregistration_delay.timeout_seconds to %d or less, or give the pod more",
		nameOfFront(f), delayOf(f), after, given, what, max(given-after, 0))
}

func (j frontJudge) propagationSeconds() int32 {
	if s := j.policy.Spec.PreStop.PropagationSeconds; s != nil {
		return *s
	}
	return 0
}

// given is how long a pod lives once it has to go, 0 while that is not known,
// and what says so.
func (j frontJudge) given() (seconds int64, what string) {
	if j.grace == nil || j.grace.RecommendedSeconds <= 0 {
		return 0, ""
	}
	seconds, what = int64(j.grace.RecommendedSeconds), "the recommended grace"
	if bound := j.policy.Spec.PreStop.MaxHoldSeconds; bound != nil && int64(*bound) < seconds {
		seconds, what = int64(*bound), "preStop.maxHoldSeconds"
	}
	if drain.Holds(j.policy) {
		seconds += int64(drain.MaxHold(j.policy).Seconds())
		what = "gate.maxHoldSeconds and " + what
	}
	return seconds, what
}

// delay: what takes longer than the delay is cut by the load balancer, however
// long the pod lives. An NLB leaves connections alone by default.
func (j frontJudge) delay(f v1alpha1.Front) (lacking int64, message string) {
	if j.grace == nil || j.grace.LatencyMilliseconds == nil || f.LoadBalancer == v1alpha1.FrontNLB {
		return 0, ""
	}
	latency := *j.grace.LatencyMilliseconds
	lackingMilliseconds := latency - 1000*int64(f.DeregistrationDelaySeconds)
	if lackingMilliseconds <= 0 {
		return 0, ""
	}
	return max(lackingMilliseconds/1000, 1), fmt.Sprintf(
		"%s cuts requests in flight after %s, and P%s of requests is %d.%03d s: set deregistration_delay.timeout_seconds to more",
		nameOfFront(f), delayOf(f), j.grace.Percentile, latency/1000, latency%1000)
}
