package drain_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
	"github.com/drain-operator/drain-operator/internal/drain"
	testbuild "github.com/drain-operator/drain-operator/internal/testing"
)

const (
	replicaSetController  = "system:serviceaccount:kube-system:replicaset-controller"
	statefulSetController = "system:serviceaccount:kube-system:statefulset-controller"
	daemonSetController   = "system:serviceaccount:kube-system:daemon-set-controller"
	person                = "alice"
)

// start of the tests' clock.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func moment(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func stamp(seconds float64) metav1.Time { return metav1.NewTime(moment(seconds)) }

// gated builds a pod with the readiness gate.
type gated struct{ *corev1.Pod }

// inRotation is a pod of owner "1" that serves since an hour.
func inRotation(name string) gated {
	p := testbuild.MakePod(name).Label("app", "web").Owner("apps/v1", "ReplicaSet", "web").
		Annotation(v1alpha1.AnnotationInjectedBy, "web/1").Obj()
	p.UID = types.UID("uid-" + name)
	p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: v1alpha1.PodInRotation}}
	p.Status.Phase = corev1.PodRunning
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "app", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: stamp(-3600)}},
	}}
	return gated{p}.ready(corev1.ConditionTrue, -3590).set(corev1.PodCondition{
		Type: v1alpha1.PodInRotation, Status: corev1.ConditionTrue, Reason: "InRotation",
		LastProbeTime: stamp(-3600), LastTransitionTime: stamp(-3600),
	})
}

// set sets a condition.
func (g gated) set(c corev1.PodCondition) gated {
	for i := range g.Status.Conditions {
		if g.Status.Conditions[i].Type == c.Type {
			g.Status.Conditions[i] = c
			return g
		}
	}
	g.Status.Conditions = append(g.Status.Conditions, c)
	return g
}

func (g gated) ready(status corev1.ConditionStatus, since float64) gated {
	return g.set(corev1.PodCondition{Type: corev1.PodReady, Status: status, LastTransitionTime: stamp(since)})
}

func (g gated) without(kind corev1.PodConditionType) gated {
	var kept []corev1.PodCondition
	for _, c := range g.Status.Conditions {
		if c.Type != kind {
			kept = append(kept, c)
		}
	}
	g.Status.Conditions = kept
	return g
}

// asked for its end, since and last at these seconds.
func (g gated) asked(kind drain.Kind, by string, since, last float64) gated {
	return g.set(drain.Wish{Kind: kind, By: by, Since: moment(since), LastAsked: moment(last)}.Condition())
}

// deleted at the start by a person.
func (g gated) deleted() gated { return g.asked(drain.Delete, person, 0, 0) }

// held for something, written at these seconds.
func (g gated) held(waitingFor v1alpha1.WaitingFor, message string, at float64) gated {
	return g.set(drainedAs(corev1.ConditionFalse, string(waitingFor), message, at))
}

// out of rotation at these seconds, and seen not Ready a second later.
func (g gated) out(at float64) gated {
	return g.set(taken(at)).ready(corev1.ConditionFalse, at+1)
}

func (g gated) labelled(key, value string) gated {
	g.Labels[key] = value
	return g
}

func (g gated) terminating() gated {
	g.DeletionTimestamp = ptr.To(stamp(30))
	return g
}

func (g gated) phase(phase corev1.PodPhase) gated {
	g.Status.Phase = phase
	return g
}

func taken(at float64) corev1.PodCondition {
	return corev1.PodCondition{
		Type: v1alpha1.PodInRotation, Status: corev1.ConditionFalse, Reason: "Draining",
		Message:       "the pod's end is asked for: it gets no new work until it has drained",
		LastProbeTime: stamp(at), LastTransitionTime: stamp(at),
	}
}

func drainedAs(status corev1.ConditionStatus, reason, message string, at float64) corev1.PodCondition {
	return corev1.PodCondition{
		Type: v1alpha1.PodDrained, Status: status, Reason: reason, Message: message,
		LastProbeTime: stamp(at), LastTransitionTime: stamp(at),
	}
}

// policyWeb is policy web, which holds deletions for at most 100 s.
func policyWeb(changes ...func(*v1alpha1.DrainPolicySpec)) *v1alpha1.DrainPolicy {
	w := testbuild.MakePolicy("web").With(func(s *v1alpha1.DrainPolicySpec) {
		s.Gate = v1alpha1.Gate{Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: 100, OnStatusFailure: v1alpha1.OnStatusFailureRelease}
	})
	for _, change := range changes {
		w.With(change)
	}
	return w.Obj()
}

// budget of the pods app=web, as its controller has seen it.
func budget(desired, allowed int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: metav1.NamespaceDefault, Generation: 2},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, DesiredHealthy: desired, DisruptionsAllowed: allowed},
	}
}

func pods(g ...gated) []*corev1.Pod {
	var all []*corev1.Pod
	for _, p := range g {
		all = append(all, p.Pod)
	}
	return all
}
