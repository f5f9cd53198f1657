package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/policy"
)

// addReadinessGate gives the pod the readiness gate where the policy holds
// deletions and the operator will be able to ask the pod for its drain status.
func (b *builder) addReadinessGate(p *v1alpha1.DrainPolicy) {
	if !policy.HoldsDeletions(p) || b.set.http == nil {
		return
	}
	if b.pod.Spec.HostNetwork {
		b.noteOn(nil, NoteDeletionNotHeld, "host network: the operator asks no node's address for a drain status; deletions are not held")
		return
	}
	if _, found := podPort(&b.pod.Spec, b.set.http.Port); !found {
		b.noteOn(nil, NoteDeletionNotHeld, fmt.Sprintf("no container has a TCP port named %s: the operator cannot read the drain status; deletions are not held", b.set.http.Port.StrVal))
		return
	}
	b.plan.ReadinessGate = b.options.ReadinessGates
}

// applyReadinessGate adds the gate to a pod that has none. The list is the
// pod's own, so it is copied.
func applyReadinessGate(spec *corev1.PodSpec, p Plan) {
	if p.ReadinessGate {
		spec.ReadinessGates = append(slices.Clip(spec.ReadinessGates), corev1.PodReadinessGate{ConditionType: v1alpha1.PodInRotation})
	}
}

// removeReadinessGate takes out the gate, whoever wrote it: nobody but the
// operator ever sets it, so that in the copy of a live pod, planned while the
// operator is away, it would keep the pod from ever being ready. What somebody
// writes into a template goes with it, and comes back where it is wanted.
func removeReadinessGate(spec *corev1.PodSpec) {
	if slices.ContainsFunc(spec.ReadinessGates, isOurGate) {
		spec.ReadinessGates = deleteFunc(slices.Clone(spec.ReadinessGates), isOurGate)
	}
}

func isOurGate(g corev1.PodReadinessGate) bool { return g.ConditionType == v1alpha1.PodInRotation }
