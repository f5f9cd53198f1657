package drain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

// asked is when the requests of these tests come, to the second.
var asked = time.Date(2026, 1, 2, 12, 0, 3, 0, time.UTC)

func after(d time.Duration) metav1.Time { return metav1.NewTime(asked.Add(d)) }

// edit changes a snapshot.
type edit func(*drain.Snapshot)

// request is a DELETE by somebody of a pod that serves, which policy checkout
// holds: nothing but Decide's last resort applies.
func request(edits ...edit) drain.Snapshot {
	s := drain.Snapshot{Ask: drain.Ask{Kind: drain.Delete, User: "ann", GraceSeconds: ptr.To[int64](30)}, Pod: served(), Policy: holding()}
	for _, e := range edits {
		e(&s)
	}
	return s
}

// served is a pod that has been in rotation for an hour.
func served() *corev1.Pod {
	p := testbuild.MakePod("web-1").Namespace("shop").Grace(30).Container(testbuild.MakeContainer("app")).
		Label(v1alpha1.LabelInjected, "true").Annotation(v1alpha1.AnnotationInjectedBy, "checkout/1").
		With(func(s *corev1.PodSpec) {
			s.NodeName = "node-1"
			s.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
		}).Obj()
	p.UID = "uid-1"
	p.Status.ContainerStatuses = []corev1.ContainerStatus{runsSince("app", -time.Hour)}
	p.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: after(-59 * time.Minute)},
		{Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, LastTransitionTime: after(-59 * time.Minute)},
	}
	return p
}

func runsSince(name string, d time.Duration) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: after(d)}}}
}

// holding is a policy whose pods' drain status was read.
func holding() *v1alpha1.DrainPolicy {
	p := testbuild.MakePolicy("checkout").Namespace("shop").HTTP(intstr.FromString("http")).With(func(s *v1alpha1.DrainPolicySpec) {
		s.Gate.Hold = v1alpha1.HoldDeletion
	}).Obj()
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionDrainStatusReachable, Status: metav1.ConditionTrue}}
	return p
}

func with(c corev1.PodCondition) edit { return func(s *drain.Snapshot) { setCondition(s.Pod, c) } }

func conditionOf(p *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == conditionType {
			return c
		}
	}
	return nil
}

func setCondition(p *corev1.Pod, c corev1.PodCondition) {
	if was := conditionOf(p, c.Type); was != nil {
		*was = c
		return
	}
	p.Status.Conditions = append(p.Status.Conditions, c)
}

// The states of a hold.
var (
	kindEvict      edit = func(s *drain.Snapshot) { s.Ask.Kind, s.Ask.GraceSeconds = drain.Evict, nil }
	wished              = wishedBy(drain.Delete, "ann", -time.Minute)
	outOfRotation       = with(corev1.PodCondition{Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse})
	isDrained           = with(corev1.PodCondition{Type: v1alpha1.PodDrained, Status: corev1.ConditionTrue})
	isUnreadable        = with(corev1.PodCondition{Type: v1alpha1.PodDrained, Status: corev1.ConditionUnknown, Reason: "StatusUnreadable"})
	isWaiting           = waiting("3 in flight, 12 long-lived")
	held           edit = func(s *drain.Snapshot) { wished(s); outOfRotation(s) }
	longAgo             = wishedBy(drain.Delete, "ann", -540*time.Second)
	unreachable    edit = func(s *drain.Snapshot) { s.Policy.Status.Conditions[0].Status = metav1.ConditionFalse }
	never          edit = func(s *drain.Snapshot) { s.Policy.Status.Conditions = nil }
	otherUID       edit = func(s *drain.Snapshot) { s.Ask.UID = "uid-0" }
	isTerminating  edit = func(s *drain.Snapshot) { s.Pod.DeletionTimestamp = ptr.To(after(0)) }
	isOperator     edit = func(s *drain.Snapshot) { s.Ask.ByOperator = true }
	force          edit = func(s *drain.Snapshot) { s.Ask.GraceSeconds = ptr.To[int64](0) }
	namespaceGoes  edit = func(s *drain.Snapshot) { s.NamespaceTerminating = true }
	emptied        edit = func(s *drain.Snapshot) { s.Ask.User = "system:serviceaccount:kube-system:namespace-controller" }
	stopped        edit = func(s *drain.Snapshot) { s.Pod.Status.ContainerStatuses[0].State = corev1.ContainerState{} }
	noPolicy       edit = func(s *drain.Snapshot) { s.Policy = nil }
	releasing      edit = func(s *drain.Snapshot) { s.Releasing = true }
	ungated        edit = func(s *drain.Snapshot) { s.Pod.Spec.ReadinessGates = nil }
	holdsOnFailure edit = func(s *drain.Snapshot) { s.Policy.Spec.Gate.OnStatusFailure = v1alpha1.OnStatusFailureHold }
	dryRun         edit = func(s *drain.Snapshot) { s.Ask.DryRun = true }
	tainted             = disruption("DeletionByTaintManager")
)

func waiting(message string) edit {
	return with(corev1.PodCondition{Type: v1alpha1.PodDrained, Status: corev1.ConditionFalse, Reason: "WaitingForRequests", Message: message})
}

func disruption(reason string) edit {
	return with(corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: reason})
}

// wishedBy is a wish that was recorded once.
func wishedBy(kind drain.Kind, user string, since time.Duration) edit {
	return with(drain.Wish{Kind: kind, By: user, Since: asked.Add(since), LastAsked: asked.Add(since)}.Condition())
}

// lastAsked changes when the wish was last asked.
func lastAsked(d time.Duration) edit {
	return func(s *drain.Snapshot) { conditionOf(s.Pod, v1alpha1.PodDeletionRequested).LastProbeTime = after(d) }
}

func spec(change func(*v1alpha1.DrainPolicySpec)) edit {
	return func(s *drain.Snapshot) { change(&s.Policy.Spec) }
}

// Each rule alone, with all other rules silent.
func TestEachRule(t *testing.T) {
	tests := map[string]struct {
		edits []edit
		want  drain.VerdictReason
	}{
		"no such pod":                  {[]edit{func(s *drain.Snapshot) { s.Pod = nil }}, drain.AllowedNotMeant},
		"another pod of that name":     {[]edit{otherUID}, drain.AllowedNotMeant},
		"the very pod":                 {[]edit{func(s *drain.Snapshot) { s.Ask.UID = "uid-1" }}, drain.RefusedNotDrained},
		"not injected":                 {[]edit{func(s *drain.Snapshot) { s.Pod.Labels = nil }}, drain.AllowedNotMeant},
		"terminating already":          {[]edit{isTerminating}, drain.AllowedTerminating},
		"the operator asks":            {[]edit{isOperator}, drain.AllowedByOperator},
		"a grace of 0":                 {[]edit{force}, drain.AllowedForced},
		"an eviction, grace 0":         {[]edit{kindEvict, force}, drain.AllowedForced},
		"a grace of 1":                 {[]edit{func(s *drain.Snapshot) { s.Ask.GraceSeconds = ptr.To[int64](1) }, dryRun}, drain.RefusedNotDrained},
		"less than 0 is 1, not force":  {[]edit{func(s *drain.Snapshot) { s.Ask.GraceSeconds = ptr.To[int64](-1) }}, drain.RefusedNotDrained},
		"the namespace goes":           {[]edit{namespaceGoes}, drain.AllowedNamespaceEnds},
		"the namespace is emptied":     {[]edit{emptied}, drain.AllowedNamespaceEnds},
		"somebody called like it":      {[]edit{func(s *drain.Snapshot) { s.Ask.User = "system:serviceaccount:shop:namespace-controller" }}, drain.RefusedNotDrained},
		"a NoExecute taint":            {[]edit{tainted}, drain.AllowedDisrupted},
		"a device's taint":             {[]edit{disruption("DeletionByDeviceTaintManager")}, drain.AllowedDisrupted},
		"pod garbage collection":       {[]edit{disruption("DeletionByPodGC")}, drain.AllowedDisrupted},
		"preemption":                   {[]edit{disruption("PreemptionByScheduler")}, drain.AllowedDisrupted},
		"preemption, older":            {[]edit{disruption("PreemptionByKubeScheduler")}, drain.AllowedDisrupted},
		"an eviction is no disruption": {[]edit{disruption("EvictionByEvictionAPI")}, drain.RefusedNotDrained},
		"a disruption that was called off": {
			[]edit{with(corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionFalse, Reason: "PreemptionByScheduler"})},
			drain.RefusedNotDrained,
		},
		"no container runs":                       {[]edit{stopped}, drain.AllowedNothingRuns},
		"no policy any more":                      {[]edit{noPolicy}, drain.AllowedNotHeld},
		"the policy is being deleted":             {[]edit{func(s *drain.Snapshot) { s.Policy.DeletionTimestamp = ptr.To(after(0)) }}, drain.AllowedNotHeld},
		"the policy only observes":                {[]edit{spec(func(s *v1alpha1.DrainPolicySpec) { s.Mode = v1alpha1.ModeObserve })}, drain.AllowedNotHeld},
		"hold Termination":                        {[]edit{spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = v1alpha1.HoldTermination })}, drain.AllowedNotHeld},
		"no hold is given":                        {[]edit{spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.Hold = "" })}, drain.AllowedNotHeld},
		"an uninstall":                            {[]edit{releasing}, drain.AllowedNotHeld},
		"no readiness gate":                       {[]edit{ungated}, drain.AllowedNoGate},
		"status never read":                       {[]edit{never}, drain.AllowedUnreachable},
		"status not reachable":                    {[]edit{unreachable}, drain.AllowedUnreachable},
		"not reachable, waits its turn to leave":  {[]edit{unreachable, wished}, drain.AllowedUnreachable},
		"not reachable, out of rotation, no wish": {[]edit{unreachable, outOfRotation}, drain.AllowedUnreachable},
		"not reachable, held already":             {[]edit{unreachable, held}, drain.RefusedNotDrained},
		"drained":                                 {[]edit{held, isDrained}, drain.AllowedDrained},
		"drained once, in rotation again":         {[]edit{wished, isDrained}, drain.RefusedNotDrained},
		"drained once, no wish":                   {[]edit{outOfRotation, isDrained}, drain.RefusedNotDrained},
		"past the bound":                          {[]edit{longAgo, outOfRotation, isWaiting}, drain.AllowedBound},
		"past the bound, still in rotation":       {[]edit{longAgo}, drain.AllowedBound},
		"a second before it":                      {[]edit{wishedBy(drain.Delete, "ann", -539*time.Second)}, drain.RefusedNotDrained},
		"past the policy's own bound": {
			[]edit{held, spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = 60 })}, drain.AllowedBound,
		},
		"status unreadable":                       {[]edit{held, isUnreadable}, drain.AllowedStatusUnknown},
		"status unreadable, Hold":                 {[]edit{held, isUnreadable, holdsOnFailure}, drain.RefusedNotDrained},
		"status unreadable once, in rotation now": {[]edit{wished, isUnreadable}, drain.RefusedNotDrained},
		"serves":              {nil, drain.RefusedNotDrained},
		"serves, an eviction": {[]edit{kindEvict}, drain.RefusedNotDrained},
		"waits for a budget":  {[]edit{wished}, drain.RefusedNotDrained},
		"held":                {[]edit{held, isWaiting}, drain.RefusedNotDrained},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := drain.Decide(request(tc.edits...), asked)
			if got.Reason != tc.want || got.Allow != (tc.want != drain.RefusedNotDrained) {
				t.Errorf("got %+v, want %s", got, tc.want)
			}
			if got.Allow {
				if diff := cmp.Diff(drain.Verdict{Allow: true, Reason: tc.want}, got); diff != "" {
					t.Errorf("an allowance says no more (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// Where two neighbours both apply, the first decides.
func TestOrderOfRules(t *testing.T) {
	pairs := []struct {
		first, second drain.VerdictReason
		// applies makes the second apply, and both makes the first apply, too.
		applies, both edit
	}{
		{drain.AllowedNotMeant, drain.AllowedTerminating, isTerminating, otherUID},
		{drain.AllowedTerminating, drain.AllowedByOperator, isOperator, isTerminating},
		{drain.AllowedByOperator, drain.AllowedForced, force, isOperator},
		{drain.AllowedForced, drain.AllowedNamespaceEnds, namespaceGoes, force},
		{drain.AllowedNamespaceEnds, drain.AllowedDisrupted, tainted, emptied},
		{drain.AllowedDisrupted, drain.AllowedNothingRuns, stopped, tainted},
		{drain.AllowedNothingRuns, drain.AllowedNotHeld, noPolicy, stopped},
		{drain.AllowedNotHeld, drain.AllowedNoGate, ungated, releasing},
		{drain.AllowedNoGate, drain.AllowedUnreachable, unreachable, ungated},
		// A pod that is held, as one that has drained is, is not unreachable
		// whatever the policy says: there is no pod for which both apply.
		{drain.AllowedDrained, drain.AllowedUnreachable, unreachable, func(s *drain.Snapshot) { held(s); isDrained(s) }},
		{drain.AllowedDrained, drain.AllowedBound, func(s *drain.Snapshot) { longAgo(s); outOfRotation(s) }, isDrained},
		{drain.AllowedBound, drain.AllowedStatusUnknown, func(s *drain.Snapshot) { held(s); isUnreadable(s) }, longAgo},
		{drain.AllowedStatusUnknown, drain.RefusedNotDrained, held, isUnreadable},
		// Not neighbours, and most likely together.
		{drain.AllowedUnreachable, drain.AllowedBound, longAgo, unreachable},
		{drain.AllowedNotHeld, drain.AllowedDrained, func(s *drain.Snapshot) { held(s); isDrained(s) }, releasing},
	}
	for _, tc := range pairs {
		t.Run(string(tc.first)+" before "+string(tc.second), func(t *testing.T) {
			if got := drain.Decide(request(tc.applies), asked).Reason; got != tc.second {
				t.Errorf("alone: %s, want %s", got, tc.second)
			}
			if got := drain.Decide(request(tc.applies, tc.both), asked).Reason; got != tc.first {
				t.Errorf("both: %s, want %s", got, tc.first)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	record := func(kind drain.Kind, by string, since, last time.Duration) *corev1.PodCondition {
		return &corev1.PodCondition{
			Type: v1alpha1.PodDeletionRequested, Status: corev1.ConditionTrue, Reason: string(kind),
			Message: `{"by":"` + by + `"}`, LastTransitionTime: after(since), LastProbeTime: after(last),
		}
	}
	refused := func(message string, rest time.Duration, record *corev1.PodCondition) drain.Verdict {
		return drain.Verdict{Reason: drain.RefusedNotDrained, Message: message, After: rest, Record: record}
	}
	const (
		pod      = "pod shop/web-1 is held until it has drained (DrainPolicy checkout). Waiting: "
		deleted  = "Ask again, or wait: it is deleted as soon as it has drained"
		evicted  = "Ask again, or wait: it is evicted as soon as it has drained"
		first    = pod + "it is about to be taken out of rotation. Held since 12:00:03Z, it goes by 12:09:03Z at the latest. "
		aMinute  = ". Held since 11:59:03Z, it goes by 12:08:03Z at the latest. "
		inFlight = pod + "3 in flight, 12 long-lived" + aMinute
		leaving  = pod + "it is about to be taken out of rotation" + aMinute
	)
	full, rest := 540*time.Second, 480*time.Second
	tests := map[string]struct {
		edits []edit
		want  drain.Verdict
	}{
		"the first":            {nil, refused(first+deleted, full, record(drain.Delete, "ann", 0, 0))},
		"the first eviction":   {[]edit{kindEvict}, refused(first+evicted, full, record(drain.Evict, "ann", 0, 0))},
		"a dry run":            {[]edit{dryRun}, refused(first+deleted, full, nil)},
		"asked again":          {[]edit{held, isWaiting}, refused(inFlight+deleted, rest, record(drain.Delete, "ann", -time.Minute, 0))},
		"asked again, dry run": {[]edit{held, isWaiting, dryRun}, refused(inFlight+deleted, rest, nil)},
		"asked 29 s ago, too":  {[]edit{held, isWaiting, lastAsked(-29 * time.Second)}, refused(inFlight+deleted, rest, nil)},
		"asked 30 s ago, too":  {[]edit{held, isWaiting, lastAsked(-30 * time.Second)}, refused(inFlight+deleted, rest, record(drain.Delete, "ann", -time.Minute, 0))},
		"not yet looked at":    {[]edit{wished, lastAsked(0)}, refused(leaving+deleted, rest, nil)},
		"waiting for nothing":  {[]edit{held, waiting(""), lastAsked(0)}, refused(leaving+deleted, rest, nil)},
		"waits for a budget":   {[]edit{wished, isWaiting, lastAsked(0)}, refused(inFlight+deleted, rest, nil)},
		"what it waited for when it was held before": {[]edit{isWaiting}, refused(first+deleted, full, record(drain.Delete, "ann", 0, 0))},
		"evicted after a deletion was asked for": {
			[]edit{held, isWaiting, kindEvict, func(s *drain.Snapshot) { s.Ask.User = "bob" }},
			refused(inFlight+deleted, rest, record(drain.Delete, "ann", -time.Minute, 0)),
		},
		"deleted after an eviction was asked for a moment ago": {
			[]edit{wishedBy(drain.Evict, "bob", -time.Minute), lastAsked(0)}, refused(leaving+deleted, rest, record(drain.Delete, "ann", -time.Minute, 0)),
		},
		"a bound of its own": {
			[]edit{spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = 90 })},
			refused(strings.Replace(first, "12:09:03Z", "12:01:33Z", 1)+deleted, 90*time.Second, record(drain.Delete, "ann", 0, 0)),
		},
		"a bound on another day": {
			[]edit{spec(func(s *v1alpha1.DrainPolicySpec) { s.Gate.MaxHoldSeconds = 86400 })},
			refused(strings.Replace(first, "12:09:03Z", "2026-01-03T12:00:03Z", 1)+deleted, 24*time.Hour, record(drain.Delete, "ann", 0, 0)),
		},
		"what the workload wrote is made printable, and cut": {
			[]edit{held, waiting("a\x1b[31m\n\u202eb\xff" + strings.Repeat("x", 100_000)), lastAsked(0)},
			refused(pod+"a [31m  b?"+strings.Repeat("x", 256-10)+aMinute+deleted, rest, nil),
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := drain.Decide(request(tc.edits...), asked)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The clock's fractions are in no record, so that it reads back as it was
// written.
func TestRefusalIsOfWholeSeconds(t *testing.T) {
	got := drain.Decide(request(), asked.Add(999*time.Millisecond))
	if !got.Record.LastTransitionTime.Time.Equal(asked) || !got.Record.LastProbeTime.Time.Equal(asked) {
		t.Errorf("recorded %+v", got.Record)
	}
	if want := 540*time.Second - 999*time.Millisecond; got.After != want {
		t.Errorf("After = %s, want %s: what is recorded counts", got.After, want)
	}
}

// Asking again and again moves no bound, and is written down every AskedAgain.
func TestAskingAgainMovesNoBound(t *testing.T) {
	s := request()
	var records []time.Duration
	for d := time.Duration(0); d < 540*time.Second; d += 700 * time.Millisecond {
		v := drain.Decide(s, asked.Add(d))
		if v.Allow || v.After != 540*time.Second-d {
			t.Fatalf("after %s: %+v", d, v)
		}
		if v.Record != nil {
			setCondition(s.Pod, *v.Record)
			records = append(records, d)
		}
	}
	for i := range records[1:] {
		if gap := records[i+1] - records[i]; gap < drain.AskedAgain-time.Second || gap > drain.AskedAgain+time.Second {
			t.Errorf("records %s after one another", gap)
		}
	}
	if v := drain.Decide(s, asked.Add(540*time.Second)); v.Reason != drain.AllowedBound {
		t.Errorf("at the bound: %+v", v)
	}
}
