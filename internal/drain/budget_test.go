package drain_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/drain-operator/drain-operator/internal/drain"
)

func TestMayLeave(t *testing.T) {
	a, b, c := inRotation("a"), inRotation("b"), inRotation("c")
	justIn := inRotation("a").ready(corev1.ConditionFalse, 0).set(corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue})
	with := func(change func(*policyv1.PodDisruptionBudget)) *policyv1.PodDisruptionBudget {
		p := budget(2, 1)
		change(p)
		return p
	}
	tests := map[string]struct {
		pod     gated
		budgets []*policyv1.PodDisruptionBudget
		others  []gated
		leaving map[types.UID]bool
		why     string
	}{
		"no budget":           {pod: a},
		"one may":             {pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, c}},
		"none may":            {pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}, others: []gated{b, c}, why: "PodDisruptionBudget web allows no disruption"},
		"not Ready":           {pod: inRotation("a").ready(corev1.ConditionFalse, 0), budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}},
		"no condition Ready":  {pod: inRotation("a").without(corev1.PodReady), budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}},
		"another app's":       {pod: inRotation("a").labelled("app", "db"), budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}},
		"the second does not": {pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(1, 2), budget(2, 0)}, others: []gated{b, c}, why: "PodDisruptionBudget web allows no disruption"},
		"another namespace's": {
			pod:     a,
			budgets: []*policyv1.PodDisruptionBudget{with(func(b *policyv1.PodDisruptionBudget) { b.Namespace, b.Status.DisruptionsAllowed = "other", 0 })},
		},
		"the empty selector is everybody's": {
			pod: a,
			budgets: []*policyv1.PodDisruptionBudget{with(func(b *policyv1.PodDisruptionBudget) {
				b.Spec.Selector, b.Status.DisruptionsAllowed = &metav1.LabelSelector{}, 0
			})},
			why: "PodDisruptionBudget web allows no disruption",
		},
		"no selector is nobody's": {
			pod:     a,
			budgets: []*policyv1.PodDisruptionBudget{with(func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector, b.Status.DisruptionsAllowed = nil, 0 })},
		},
		"a status of an older edit": {
			pod:     a,
			budgets: []*policyv1.PodDisruptionBudget{with(func(b *policyv1.PodDisruptionBudget) { b.Generation = 3 })},
			others:  []gated{b, c}, why: "PodDisruptionBudget web was changed, and its status does not tell yet",
		},
		"another is out, and the kubelet has not said so": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, inRotation("c").set(taken(0))},
			why: "PodDisruptionBudget web allows no disruption",
		},
		"another was just taken out": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, c},
			leaving: map[types.UID]bool{"uid-c": true},
			why:     "PodDisruptionBudget web allows no disruption",
		},
		"another was just taken out, and two may be": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(1, 2)}, others: []gated{b, c},
			leaving: map[types.UID]bool{"uid-c": true},
		},
		"another is out, and the budget has counted it": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(1, 1)}, others: []gated{b, inRotation("c").out(0)},
		},
		"only the readiness gate keeps it from being Ready, the others are enough": {
			pod: justIn, budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}, others: []gated{b, c},
		},
		"only the readiness gate keeps it from being Ready, the others are too few": {
			pod: justIn, budgets: []*policyv1.PodDisruptionBudget{budget(2, 0)}, others: []gated{b, inRotation("c").out(0)},
			why: "PodDisruptionBudget web wants 2 healthy pods: 1 are",
		},
		"another is terminating": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, inRotation("c").terminating()},
			why: "PodDisruptionBudget web wants 2 healthy pods: 2 are",
		},
		"another is not Ready": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, inRotation("c").ready(corev1.ConditionFalse, 0)},
			why: "PodDisruptionBudget web wants 2 healthy pods: 2 are",
		},
		"another was just evicted": {
			pod: a, others: []gated{b, c},
			budgets: []*policyv1.PodDisruptionBudget{with(func(b *policyv1.PodDisruptionBudget) {
				b.Status.DisruptedPods = map[string]metav1.Time{"c": stamp(0)}
			})},
			why: "PodDisruptionBudget web wants 2 healthy pods: 2 are",
		},
		"others of another app do not help": {
			pod: a, budgets: []*policyv1.PodDisruptionBudget{budget(2, 1)}, others: []gated{b, inRotation("c").labelled("app", "db")},
			why: "PodDisruptionBudget web wants 2 healthy pods: 2 are",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			may, why := drain.MayLeave(tc.pod.Pod, tc.budgets, pods(append(tc.others, tc.pod)...), tc.leaving)
			if may != (tc.why == "") || why != tc.why {
				t.Errorf("got %v, %q, want %q", may, why, tc.why)
			}
		})
	}
}
