package condition

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/plan"
	testobjects "github.com/drain-operator/drain-operator/internal/testing"
)

func TestCameBack(t *testing.T) {
	p := testobjects.MakePolicy("web").Generation(3).Obj()
	tests := map[string]Result{
		"":        ResultNotInjected,
		"web/3":   ResultInjected,
		"web/2":   ResultStale,
		"other/3": ResultOther,
	}
	for by, want := range tests {
		if got := CameBack(p, webPod("canary", by)); got != want {
			t.Errorf("injected by %q: %s, want %s", by, got, want)
		}
	}
}

func TestReady(t *testing.T) {
	enforce := testobjects.MakePolicy("web").Generation(2).Obj()
	observe := testobjects.MakePolicy("web").Generation(2).Observe().Obj()
	tests := map[string]struct {
		policy *v1alpha1.DrainPolicy
		trial  Trial
		want   metav1.Condition
	}{
		"not tried": {
			policy: enforce,
			want:   metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotYetChecked, Message: "no dry-run pod has been created yet"},
		},
		"tried before the last edit": {
			policy: enforce, trial: Trial{Result: ResultInjected, Generation: 1, Mode: v1alpha1.ModeEnforce},
			want: metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonNotYetChecked, Message: "no dry-run pod has been created yet"},
		},
		"injected": {
			policy: enforce, trial: Trial{Result: ResultInjected, Generation: 2, Mode: v1alpha1.ModeEnforce},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonInjectionWorks, Message: "a dry-run pod came back injected"},
		},
		"the namespace turns injection off": {
			policy: enforce, trial: Trial{Result: ResultNotInjected, Generation: 2, Mode: v1alpha1.ModeEnforce, InjectionDisabled: true},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInjectionDisabled,
				Message: "the namespace has the label drain-operator.dev/injection=disabled"},
		},
		"the namespace is excluded": {
			policy: enforce, trial: Trial{Result: ResultNotInjected, Generation: 2, Mode: v1alpha1.ModeEnforce, Excluded: plan.ExcludedControlPlane},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNamespaceExcluded,
				Message: "injection leaves this namespace alone: ControlPlaneNamespace"},
		},
		"refused with and without us": {
			policy: enforce, trial: Trial{Result: ResultRefused, Generation: 2, Mode: v1alpha1.ModeEnforce, Message: "exceeded quota"},
			want: metav1.Condition{Status: metav1.ConditionUnknown, Reason: v1alpha1.ReasonDryRunRefused,
				Message: "a dry-run pod is refused with and without injection, so that nothing is known: exceeded quota"},
		},
		"refused because of us": {
			policy: enforce, trial: Trial{Result: ResultAgentRefused, Generation: 2, Mode: v1alpha1.ModeEnforce, Message: "registry not allowed"},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonDryRunRefused,
				Message: "a dry-run pod is refused with injection, and accepted without: registry not allowed"},
		},
		"selector that nothing can match": {
			policy: enforce, trial: Trial{Result: ResultUnsatisfiable, Generation: 2, Mode: v1alpha1.ModeEnforce},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnsatisfiable, Message: "no pod can match the selector"},
		},
		"observing": {
			policy: observe, trial: Trial{Result: ResultNotInjected, Generation: 2, Mode: v1alpha1.ModeObserve},
			want: metav1.Condition{Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonObserving, Message: "nothing is injected in mode Observe"},
		},
		"observing, but the webhook does not know yet": {
			policy: observe, trial: Trial{Result: ResultStale, Generation: 2, Mode: v1alpha1.ModeObserve},
			want: metav1.Condition{Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNotInjected,
				Message: "a dry-run pod still comes back injected: the webhook has not seen the change of mode yet"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.Type = v1alpha1.ConditionReady
			if diff := cmp.Diff(tc.want, tc.trial.ready(tc.policy)); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrialBacksOff(t *testing.T) {
	p := testobjects.MakePolicy("web").Obj()
	trial := Trial{}
	var waits []time.Duration
	for range 7 {
		next := Trial{Result: ResultNotInjected, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now}.Follows(trial)
		waits = append(waits, next.Next(p).Sub(now))
		trial = next
	}
	turn := nextTurn(p.UID, now).Sub(now)
	want := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute, turn, turn}
	if diff := cmp.Diff(want, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	works := Trial{Result: ResultInjected, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now}.Follows(trial)
	if got := works.Next(p).Sub(now); works.Tries != 1 || got != turn {
		t.Errorf("once it works: %d tries, next in %s", works.Tries, got)
	}
}

// A cold start tries a thousand policies within seconds. From then on each
// has its turn, once in a period, and no second sees many of them.
func TestTrialsAreSpread(t *testing.T) {
	const policies = 1000
	seconds := map[int]int{}
	for i := range policies {
		p := testobjects.MakePolicy("web").Obj()
		p.UID = types.UID(fmt.Sprintf("6f1c%04x-8d7e-4b1a-9c3f-2a5b7c9d%04x", i*7919%65536, i))
		at := now.Add(time.Duration(i) * 10 * time.Millisecond)
		trial := Trial{Result: ResultInjected, Generation: 1, Mode: v1alpha1.ModeEnforce, At: at, Tries: 1}
		first := trial.Next(p)
		if wait := first.Sub(at); wait <= 0 || wait > TrialPeriod {
			t.Fatalf("policy %d: the second trial comes after %s", i, wait)
		}
		trial.At = first
		if again := trial.Next(p); again.Sub(first) != TrialPeriod {
			t.Fatalf("policy %d: the third trial comes %s after the second", i, again.Sub(first))
		}
		seconds[int(first.Sub(now)/time.Second)]++
	}
	if most := slices.Max(slices.Collect(maps.Values(seconds))); most > 15 {
		t.Errorf("%d of %d trials come within one second", most, policies)
	}
	if len(seconds) < 250 {
		t.Errorf("they come within %d seconds of %s", len(seconds), TrialPeriod)
	}
}

func TestTrialIsDueAtOnce(t *testing.T) {
	works := Trial{Result: ResultInjected, Generation: 1, Mode: v1alpha1.ModeEnforce, At: now, Tries: 1}
	tests := map[string]struct {
		trial  Trial
		policy *v1alpha1.DrainPolicy
	}{
		"never tried": {policy: testobjects.MakePolicy("web").Obj()},
		"edited":      {trial: works, policy: testobjects.MakePolicy("web").Generation(2).Obj()},
		"the breaker switched": {trial: works, policy: withCondition(testobjects.MakePolicy("web").Obj(), metav1.Condition{
			Type: v1alpha1.ConditionAgentInstallable, LastTransitionTime: metav1.NewTime(now.Add(time.Second))})},
	}
	for name, tc := range tests {
		if next := tc.trial.Next(tc.policy); !next.IsZero() {
			t.Errorf("%s: due at %s, not at once", name, next)
		}
	}
}

func TestRestoredTrial(t *testing.T) {
	ready := func(p *v1alpha1.DrainPolicy, status metav1.ConditionStatus, generation int64) *v1alpha1.DrainPolicy {
		p.UID = "some-uid"
		return withCondition(p, metav1.Condition{Type: v1alpha1.ConditionReady, Status: status, ObservedGeneration: generation})
	}
	tests := map[string]struct {
		policy *v1alpha1.DrainPolicy
		want   Result
	}{
		"new policy":     {policy: testobjects.MakePolicy("web").Obj(), want: ResultNone},
		"ready":          {policy: ready(testobjects.MakePolicy("web").Obj(), metav1.ConditionTrue, 1), want: ResultInjected},
		"observing":      {policy: ready(testobjects.MakePolicy("web").Observe().Obj(), metav1.ConditionTrue, 1), want: ResultNotInjected},
		"not ready":      {policy: ready(testobjects.MakePolicy("web").Obj(), metav1.ConditionFalse, 1), want: ResultNone},
		"ready, but old": {policy: ready(testobjects.MakePolicy("web").Obj(), metav1.ConditionTrue, 0), want: ResultNone},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got := RestoredTrial(tc.policy, now)
			if got.Result != tc.want {
				t.Errorf("result %q, want %q", got.Result, tc.want)
			}
			if due := got.Next(tc.policy).Sub(now); tc.want != ResultNone && (due <= 0 || due > TrialPeriod) {
				t.Errorf("due in %s, want within %s", due, TrialPeriod)
			}
		})
	}
}

func withCondition(p *v1alpha1.DrainPolicy, c metav1.Condition) *v1alpha1.DrainPolicy {
	p.Status.Conditions = append(p.Status.Conditions, c)
	return p
}
