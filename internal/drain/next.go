package drain

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drainstatus"
)

const (
	// tryAgain is the time until a budget is looked at again, or asked again.
	tryAgain = time.Second

	// cachesAgree is how much older than the wish of its controller the owner
	// may be: it is asked for every 2 s, and wishes have whole seconds.
	cachesAgree = 4 * time.Second

	// refusedFor is how long an eviction is refused until the pod serves on.
	refusedFor = 10 * time.Second

	// toldAgain is for how long a workload whose hold has ended is told so,
	// whenever its pod is looked at.
	toldAgain = 30 * time.Second

	// looksDrained and looksUnreadable are how many looks in a row it takes.
	looksDrained    = 2
	looksUnreadable = 3

	// looksOld is when a look is too old to let a pod go that may have requests
	// in flight: the leader was stopped, or the policy changed since. The looks
	// go on, and each is acted on when its answer comes.
	looksOld = 5 * time.Second
)

// Next is what the leader is to do now.
//
// Rules, in this order:
//
//  1. a pod that is terminating or gone, or has no readiness gate: nothing.
//  2. no wish: in rotation (readiness gate True), and told so if it was out,
//     and for some time after.
//  3. a wish that is no longer wanted (Wanted): taken back; but not within
//     cachesAgree of it being asked.
//  4. the wish of a pod that is no longer held (policy gone, Observe,
//     Termination, Releasing; namespace terminating): Release; where an
//     Eviction is refused, as if there were no wish.
//  5. past the bound, or nothing runs in it: Release.
//  6. in rotation: out of it, if MayLeave; else wait for the budget.
//  7. out of rotation: not before the pod is seen not Ready and
//     propagationSeconds after that; then it is looked at, and Release when
//     drained for two looks in a row, or unreadable three times in a row, the
//     last of them just now, with onStatusFailure Release.
//  8. a Release that was refused (an Eviction by its budget, anything by an
//     admission policy): PodDrained True, so that whoever asks again is let
//     through, waiting for the eviction, tried again every second. Past the bound
//     a pod whose Eviction is refused serves on meanwhile, and also after 10 s if
//     its budget wants more healthy pods than there are. A budget that wants no
//     healthy pod refuses only because this one is out of rotation: then it is
//     deleted.
func Next(s Situation, now time.Time) Step {
	if s.Pod == nil || s.Pod.DeletionTimestamp != nil || !HasReadinessGate(s.Pod) {
		return Step{}
	}
	wish, asked := WishOf(s.Pod)
	c := course{Situation: s, wish: wish, now: now}
	if !asked {
		return c.staysIn(EndTakenBack)
	}
	for _, rule := range courseRules {
		if step, decided := rule(c); decided {
			return step
		}
	}
	return c.waitsUntilDrained()
}

// courseRules in the order in which they are asked; the first that knows decides.
var courseRules = []func(course) (Step, bool){
	course.noLongerWanted,
	course.noLongerHeld,
	course.pastBound,
	course.nothingRuns,
	course.stillIn,
	course.stillSeen,
	course.neededAgain,
	course.drained,
	course.unreadable,
}

// course of a pod whose end is asked for.
type course struct {
	Situation
	wish Wish
	now  time.Time
}

func (c course) noLongerWanted() (Step, bool) {
	wanted, end := Wanted(c.Pod, c.wish, c.Owner, c.Neighbours, c.now)
	if wanted {
		return Step{}, false
	}
	if early := c.wish.LastAsked.Add(cachesAgree).Sub(c.now); end == EndTakenBack && early > 0 {
		return c.asItIs(early), true
	}
	return c.staysIn(end), true
}

func (c course) noLongerHeld() (Step, bool) {
	if Holds(c.Policy) && !c.Releasing && !c.NamespaceTerminating {
		return Step{}, false
	}
	if c.wish.Kind == Evict && c.Refused != "" { // whoever refuses it has the last word
		return c.staysIn(EndNotHeld), true
	}
	step := c.asItIs(tryAgain)
	step.Release, step.Message = c.release(EndNotHeld), messageNotHeld
	return step, true
}

func (c course) pastBound() (Step, bool) {
	if c.now.Before(c.until()) {
		return Step{}, false
	}
	step := c.releases(EndBound, string(EndBound), "held as long as the policy allows")
	if c.wish.Kind == Evict && c.Refused != "" && OutOfRotation(c.Pod) {
		step = c.servesOn(step)
	}
	return step, true
}

func (c course) nothingRuns() (Step, bool) {
	if anyContainer(c.Pod, running) {
		return Step{}, false
	}
	return c.releases(EndNothing, string(EndDrained), "no container runs any more"), true
}

// stillIn rotation: out of it, if the budgets allow.
func (c course) stillIn() (Step, bool) {
	if OutOfRotation(c.Pod) {
		return Step{}, false
	}
	if c.Leaving[c.Pod.UID] { // just taken out, and the cache does not show it yet
		return c.asItIs(tryAgain), true
	}
	if c.wish.Kind == Evict && len(of(c.Pod, c.Budgets)) > 1 {
		return c.waits(v1alpha1.WaitingForBudget, "it has more than one PodDisruptionBudget: it cannot be evicted", tryAgain), true
	}
	if may, why := MayLeave(c.Pod, c.Budgets, c.Neighbours, c.Leaving); !may {
		return c.waits(v1alpha1.WaitingForBudget, why, tryAgain), true
	}
	step := c.waits(v1alpha1.WaitingForRotation, messageRotation, unreportedAfter)
	step.Conditions = append(c.changed(c.condition(v1alpha1.PodInRotation, corev1.ConditionFalse, reasonDraining, messageOut)), step.Conditions...)
	step.Leaves = true
	return c.drains(step), true
}

// stillSeen: whoever sends it new work may not know yet that it is out.
func (c course) stillSeen() (Step, bool) {
	left := c.unseenFrom().Sub(c.now)
	if left <= 0 {
		return Step{}, false
	}
	return c.drains(c.waits(v1alpha1.WaitingForRotation, messageRotation, left)), true
}

// neededAgain: its eviction is refused for some time, since its budget wants
// more healthy pods than there are: it serves on until it may leave. Two that
// are out could else keep each other from being evicted.
func (c course) neededAgain() (Step, bool) {
	d := podCondition(c.Pod, v1alpha1.PodDrained)
	if c.wish.Kind != Evict || c.Refused == "" || d == nil || d.Status != corev1.ConditionTrue || c.now.Sub(d.LastTransitionTime.Time) < refusedFor {
		return Step{}, false
	}
	if !hasCondition(c.Pod, corev1.ContainersReady, corev1.ConditionTrue) { // it could not serve
		return Step{}, false
	}
	why := lacking(c.Pod, c.Budgets, c.Neighbours, c.Leaving)
	return c.servesOn(c.waits(v1alpha1.WaitingForBudget, why, tryAgain)), why != ""
}

// servesOn puts a pod into rotation that is still to end.
func (c course) servesOn(step Step) Step {
	in := c.condition(v1alpha1.PodInRotation, corev1.ConditionTrue, reasonInRotation, "")
	step.Conditions = append(c.changed(in), step.Conditions...)
	step.Watch, step.TellDraining = false, ptr.To(false)
	return step
}

func (c course) drained() (Step, bool) {
	if c.Watched.Drained < looksDrained || c.Watched.DrainedSince.Before(c.unseenFrom()) {
		return Step{}, false
	}
	return c.drains(c.releases(EndDrained, string(EndDrained), "drained")), true
}

func (c course) unreadable() (Step, bool) {
	if c.Watched.Unreadable < looksUnreadable {
		return Step{}, false
	}
	why := "its drain status cannot be read: " + c.Watched.Last.Reason
	if c.Policy.Spec.Gate.OnStatusFailure == v1alpha1.OnStatusFailureHold {
		return c.drains(c.waits(v1alpha1.WaitingForStatus, why, 0)), true
	}
	if c.now.Sub(c.Watched.At) >= looksOld {
		return c.drains(c.waits(v1alpha1.WaitingForRequests, c.message(), tryAgain)), true
	}
	return c.drains(c.releases(EndStatus, ReasonStatusUnreadable, why)), true
}

func (c course) waitsUntilDrained() Step {
	return c.drains(c.waits(v1alpha1.WaitingForRequests, c.message(), 0))
}

// message is what was seen last of a pod that has not drained.
func (c course) message() string {
	switch {
	case c.Watched.At.IsZero():
		return "its drain status has not been read yet"
	case c.Watched.Last.State == drainstatus.Unreadable:
		return "its drain status could not be read: " + c.Watched.Last.Reason
	case c.Watched.Last.State == drainstatus.Drained: // one look more
		return "nothing is in flight: it is looked once more"
	}
	return c.Watched.Last.Reason
}

// staysIn puts a pod into rotation again where it is out, and ends its hold
// where there is one.
func (c course) staysIn(end HoldEnd) Step {
	in := c.condition(v1alpha1.PodInRotation, corev1.ConditionTrue, reasonInRotation, "")
	asked := podCondition(c.Pod, v1alpha1.PodDeletionRequested)
	wished := asked != nil && asked.Status != corev1.ConditionFalse
	out := OutOfRotation(c.Pod)
	step := Step{Conditions: c.changed(in)}
	if !out && wished && c.Leaving[c.Pod.UID] { // the cache does not show yet that it is out
		out, step.Conditions = true, []corev1.PodCondition{in}
	}
	if wished {
		step.Conditions = append(step.Conditions, c.condition(v1alpha1.PodDeletionRequested, corev1.ConditionFalse, string(end), endMessages[end]))
	}
	if beingHeld(c.Pod) {
		step.Conditions = append(step.Conditions, c.condition(v1alpha1.PodDrained, corev1.ConditionFalse, ReasonNotHeld, ""))
		step.Ended, step.Message = end, endMessages[end]
	}
	if out || c.justEnded(asked) {
		step.TellDraining = ptr.To(false)
	}
	return step
}

// justEnded says that a wish is none any more since a short time: whoever wrote
// that may not have come to tell the workload.
func (c course) justEnded(asked *corev1.PodCondition) bool {
	return asked != nil && asked.Status == corev1.ConditionFalse && c.now.Sub(asked.LastTransitionTime.Time) < toldAgain
}

// asItIs leaves a pod as it is for a while.
func (c course) asItIs(after time.Duration) Step {
	step := Step{After: after}
	if d := podCondition(c.Pod, v1alpha1.PodDrained); beingHeld(c.Pod) && d.Status == corev1.ConditionFalse {
		step.WaitingFor, step.Message = v1alpha1.WaitingFor(d.Reason), d.Message
	}
	if OutOfRotation(c.Pod) || c.Leaving[c.Pod.UID] {
		step = c.drains(step)
	}
	return step
}

// waits holds a pod, and says what for. after is when time changes that, 0 when
// only the bound or the expiry of the wish does.
func (c course) waits(waitingFor v1alpha1.WaitingFor, message string, after time.Duration) Step {
	step := Step{WaitingFor: waitingFor, Message: message, Began: !beingHeld(c.Pod)}
	want := c.condition(v1alpha1.PodDrained, corev1.ConditionFalse, string(waitingFor), message)
	if renew := c.renewal(want); renew <= 0 {
		step.Conditions = c.changed(want)
	} else {
		after = sooner(after, renew)
	}
	after = sooner(after, c.until().Sub(c.now))
	step.After = sooner(after, c.wish.LastAsked.Add(WishExpires).Sub(c.now))
	return step
}

// releases asks for a pod's end. Where that is refused, the pod's condition
// allows others to ask, and it is asked again.
func (c course) releases(why HoldEnd, reason, message string) Step {
	status := corev1.ConditionTrue
	if why == EndStatus {
		status = corev1.ConditionUnknown
	}
	if c.Refused != "" {
		message = fmt.Sprintf("%s; its end is refused: %s", message, c.Refused)
	}
	step := c.waits(v1alpha1.WaitingForEviction, message, tryAgain)
	step.Release = c.release(why)
	step.Conditions = nil
	if want := c.condition(v1alpha1.PodDrained, status, reason, message); c.renewal(want) <= 0 {
		step.Conditions = c.changed(want)
	}
	step.Watch = c.unseen()
	return step
}

// release as it was asked for; but where only the hold itself keeps the pod
// from being evicted, it is deleted.
func (c course) release(why HoldEnd) *Release {
	kind := c.wish.Kind
	if c.ByBudget && OutOfRotation(c.Pod) && wantNothing(c.Pod, c.Budgets) {
		kind = Delete
	}
	return &Release{Kind: kind, GraceSeconds: c.wish.GraceSeconds, Why: why}
}

// drains has a pod looked at once it gets no new work, and its workload told
// that it drains. What a look shows before that is worth nothing.
func (c course) drains(step Step) Step {
	step.Watch, step.TellDraining = c.unseen(), ptr.To(true)
	return step
}

// until is when a pod is let go at the latest.
func (c course) until() time.Time { return c.wish.Until(MaxHold(c.Policy)) }

// sooner of two times, of which 0 is never and less is past.
func sooner(a, b time.Duration) time.Duration {
	switch {
	case b <= 0:
		return a
	case a <= 0:
		return b
	}
	return min(a, b)
}
