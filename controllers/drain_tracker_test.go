package controllers

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// standby is a replica that only watches, and what it was shown.
type standby struct {
	*Tracker
	clock   *clocktesting.FakePassiveClock
	dropped int
	version int
	status  v1alpha1.DrainPolicyStatus
}

func newStandby() *standby {
	s := &standby{version: 100, clock: clocktesting.NewFakePassiveClock(start)}
	s.Tracker = NewTracker(s.clock, func() { s.dropped++ })
	s.onSync(func() bool { return true })
	return s
}

// current is the policy as it was last published.
func (s *standby) current() *v1alpha1.DrainPolicy {
	p := webPolicy()
	p.ResourceVersion = strconv.Itoa(s.version)
	p.Status = *s.status.DeepCopy()
	return p
}

// publish has the leader write a version that counts these drains; shown says
// whether this replica gets to see it.
func (s *standby) publish(shown bool, pods ...int) {
	for _, i := range pods {
		s.status.Drains.Drained++
		r := v1alpha1.DrainRecord{UID: string(pod(i).UID), Outcome: v1alpha1.OutcomeDrained}
		s.status.RecentDrains = append([]v1alpha1.DrainRecord{r}, s.status.RecentDrains...)
	}
	s.status.RecentDrains = s.status.RecentDrains[:min(len(s.status.RecentDrains), 3)] // a short list, to see it overflow
	s.version++
	if shown {
		s.SawPolicy(s.current())
	}
}

// pendingPods are the UIDs that the replica would publish if it led.
func (s *standby) pendingPods() []string {
	var uids []string
	for _, r := range s.Of(s.current()).Pending {
		uids = append(uids, r.UID)
	}
	return uids
}

func TestPendingDrains(t *testing.T) {
	end := func(s *standby, pods ...int) {
		for _, i := range pods {
			s.SawPodGo(dead(i), false)
		}
	}
	tests := map[string]struct {
		do   func(s *standby)
		want []string
	}{
		"kept until published": {
			do:   func(s *standby) { end(s, 1, 2, 3); s.publish(true, 2) },
			want: []string{"uid-001", "uid-003"},
		},
		"published before this replica saw the end": {
			do: func(s *standby) { s.publish(true, 1); end(s, 1, 2) }, want: []string{"uid-002"},
		},
		"listed no longer, but seen": {
			do:   func(s *standby) { s.publish(true, 1); s.publish(true, 2, 3, 4); end(s, 1, 2, 5) },
			want: []string{"uid-005"},
		},
		"a version was skipped, and its drains have left the list": {
			do: func(s *standby) {
				end(s, 1, 2, 3, 4, 5, 6, 7)
				s.publish(false, 1, 2, 3)
				s.publish(true, 4, 5, 6)
			},
			want: []string{"uid-007"},
		},
		"an older version comes late": {
			do: func(s *standby) {
				end(s, 1, 2)
				s.publish(false, 1)
				older := s.current()
				s.publish(true, 2)
				s.SawPolicy(older)
			},
		},
		"the same pod is reported gone twice": {
			do: func(s *standby) { end(s, 1); s.publish(true, 1); end(s, 1) },
		},
		"the policy was deleted and made anew": {
			do: func(s *standby) {
				s.publish(true, 1, 2)
				s.ForgetPolicy(keyOf(s.current()))
				s.status = v1alpha1.DrainPolicyStatus{}
				s.publish(true)
				end(s, 3)
			},
			want: []string{"uid-003"},
		},
		"a pod that was not injected": {
			do: func(s *standby) {
				p := dead(1)
				delete(p.Labels, v1alpha1.LabelInjected)
				s.SawPodGo(p, false)
			},
		},
		"listed as draining, gone before this replica came": {
			do: func(s *standby) {
				s.status.DrainingPods = []v1alpha1.DrainingPod{{Name: "web-001", UID: "uid-001"}, {Name: "web-002", UID: "uid-002"}, {Name: "web-003", UID: "uid-003"}}
				s.SawPod(dying(2))
				s.SawPod(pod(3)) // its deletion has not arrived here yet
				s.publish(true)
			},
			want: []string{"uid-001"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStandby()
			s.SawPolicy(s.current())
			tc.do(s)
			if diff := cmp.Diff(tc.want, s.pendingPods()); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}
			if waiting := len(s.pending[keyOf(s.current())]); s.waiting != waiting {
				t.Errorf("%d waiting, %d are kept", s.waiting, waiting)
			}
		})
	}
}

func TestNothingIsSaidBeforeTheCacheHasSynced(t *testing.T) {
	s := newStandby()
	s.onSync(func() bool { return false })
	s.SawPodGo(dead(1), false)
	s.SawPolicy(s.current())
	if d := s.Of(s.current()); d.Current {
		t.Errorf("current before the pods were listed: %+v", d)
	}
	s.onSync(func() bool { return true })
	if diff := cmp.Diff([]string{"uid-001"}, s.pendingPods()); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}

func TestTheGraceThatWasAskedForIsRemembered(t *testing.T) {
	s := newStandby()
	s.SawPolicy(s.current())
	short := dying(1)
	*short.DeletionGracePeriodSeconds, short.DeletionTimestamp.Time = 3, start.Add(3*time.Second)
	s.SawPod(short)
	final := dead(1)
	*final.DeletionGracePeriodSeconds, final.DeletionTimestamp.Time = 0, start
	final.Status.ContainerStatuses[0].State.Terminated.ExitCode = 137
	final.Status.ContainerStatuses[0].State.Terminated.FinishedAt = metav1.NewTime(start.Add(5 * time.Second))
	s.SawPod(final)
	s.SawPodGo(final, false)
	want := []v1alpha1.DrainRecord{{
		Pod: "web-001", UID: "uid-001", Outcome: v1alpha1.OutcomeForced, Cause: v1alpha1.CauseShorterGrace,
		Reason: "a grace of 3 s was asked for, the pod has 30 s", DurationSeconds: 5, EndedAt: metav1.NewTime(start.Add(5 * time.Second)),
	}}
	if diff := cmp.Diff(want, s.Of(s.current()).Pending); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
}

func TestPendingIsBounded(t *testing.T) {
	s := newStandby()
	s.SawPolicy(s.current())
	for i := range maxPending + 5 {
		p := dead(1)
		p.UID = types.UID(strconv.Itoa(i))
		s.SawPodGo(p, false)
	}
	if s.waiting != maxPending || s.dropped != 5 {
		t.Errorf("%d are kept, %d were dropped", s.waiting, s.dropped)
	}
}

func TestFailedHooks(t *testing.T) {
	f := failedHooks{at: map[types.UID]map[string]time.Time{}}
	f.add("a", "restarted", start.Add(-time.Hour))
	f.add("a", "app", start.Add(time.Second))
	if diff := cmp.Diff(map[string]bool{"app": true}, f.take("a", start)); diff != "" {
		t.Errorf("hooks that failed since the deletion (-want +got):\n%s", diff)
	}
	if again := f.take("a", start); again != nil {
		t.Errorf("taken twice: %v", again)
	}
	for i := range maxHooks + 1 {
		f.add(types.UID(strconv.Itoa(i)), "app", start)
	}
	if len(f.at) > maxHooks || len(f.order) > maxHooks {
		t.Errorf("%d pods and %d places are kept", len(f.at), len(f.order))
	}
}

func TestContainerOf(t *testing.T) {
	for path, want := range map[string]string{"spec.containers{app}": "app", "spec.initContainers{proxy}": "proxy", "": "", "spec": ""} {
		if got := containerOf(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

func TestPodsThatTellNothingWakeNobody(t *testing.T) {
	quiet := func(p *corev1.Pod) { p.Status.StartTime, p.ResourceVersion = &metav1.Time{Time: start}, "2" }
	tests := map[string]struct {
		edit func(*corev1.Pod)
		want bool
	}{
		"start time":  {edit: quiet},
		"another pod": {edit: func(p *corev1.Pod) { p.UID = "uid-new" }, want: true},
		"address":     {edit: func(p *corev1.Pod) { p.Status.PodIP = "10.0.0.1" }, want: true},
		"phase":       {edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodPending }, want: true},
		"labels":      {edit: func(p *corev1.Pod) { p.Labels["app"] = "db" }, want: true},
		"annotations": {edit: func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationInjectedBy] = "web/2" }, want: true},
		"deletion":    {edit: func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: start} }, want: true},
		"end":         {edit: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, want: true},
	}
	for name, tc := range tests {
		before, after := pod(1), pod(1)
		tc.edit(after)
		if got := tells(before, after); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Whether anybody can be asked for the drain status is worked out from the
// survey, which else stands as it was made before the pod was ready.
func TestPodsThatCanBeAskedTell(t *testing.T) {
	gate := []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
	for name, tc := range map[string]struct {
		gates []corev1.PodReadinessGate
		want  bool
	}{"with the readiness gate": {gates: gate, want: true}, "without": {}} {
		before, after := pod(1), readyPod(1)
		before.Spec.ReadinessGates, after.Spec.ReadinessGates = tc.gates, tc.gates
		if ready, not := tells(before, after), tells(after, before); ready != tc.want || not != tc.want {
			t.Errorf("%s: becoming ready %v, no longer %v, want %v", name, ready, not, tc.want)
		}
	}
}
