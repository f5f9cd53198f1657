package testing

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/drain-operator/drain-operator/api/v1alpha1"
)

// PolicyWrapper builds a DrainPolicy.
type PolicyWrapper struct{ v1alpha1.DrainPolicy }

// MakePolicy starts a policy of the namespace "default", generation 1, that
// selects every pod, with the API's defaults filled in.
func MakePolicy(name string) *PolicyWrapper {
	return &PolicyWrapper{v1alpha1.DrainPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: metav1.NamespaceDefault, Generation: 1},
		Spec: v1alpha1.DrainPolicySpec{
			Selector: &metav1.LabelSelector{},
			Mode:     v1alpha1.ModeEnforce,
			PreStop: v1alpha1.PreStop{
				Strategy:              v1alpha1.StrategyAgent,
				ExistingHook:          v1alpha1.ExistingHookKeep,
				ReleaseWhen:           v1alpha1.ReleaseWhenDrained,
				PropagationSeconds:    ptr.To[int32](5),
				PropagationMaxSeconds: 30,
			},
			GracePeriod: v1alpha1.GracePeriod{MinSeconds: 10, MaxSeconds: 600},
		},
	}}
}

// Obj is the policy.
func (w *PolicyWrapper) Obj() *v1alpha1.DrainPolicy { return w.DeepCopy() }

// Namespace puts the policy into a namespace.
func (w *PolicyWrapper) Namespace(namespace string) *PolicyWrapper {
	w.ObjectMeta.Namespace = namespace
	return w
}

// Generation sets which edit of the policy this is.
func (w *PolicyWrapper) Generation(generation int64) *PolicyWrapper {
	w.ObjectMeta.Generation = generation
	return w
}

// Created sets when the policy was created.
func (w *PolicyWrapper) Created(at time.Time) *PolicyWrapper {
	w.CreationTimestamp = metav1.NewTime(at)
	return w
}

// Deleting marks the policy as being deleted.
func (w *PolicyWrapper) Deleting(at time.Time) *PolicyWrapper {
	w.DeletionTimestamp = ptr.To(metav1.NewTime(at))
	w.Finalizers = []string{"drain-operator.dev/test"}
	return w
}

// Selects adds a label that pods must have.
func (w *PolicyWrapper) Selects(key, value string) *PolicyWrapper {
	w.Spec.Selector = metav1.AddLabelToSelector(w.Spec.Selector, key, value)
	return w
}

// Requires adds a selector expression.
func (w *PolicyWrapper) Requires(key string, operator metav1.LabelSelectorOperator, values ...string) *PolicyWrapper {
	w.Spec.Selector.MatchExpressions = append(w.Spec.Selector.MatchExpressions,
		metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: values})
	return w
}

// Observe sets mode Observe.
func (w *PolicyWrapper) Observe() *PolicyWrapper {
	w.Spec.Mode = v1alpha1.ModeObserve
	return w
}

// HTTP reads the drain status from an endpoint, with the API's defaults.
func (w *PolicyWrapper) HTTP(port intstr.IntOrString) *PolicyWrapper {
	w.Spec.DrainStatus = v1alpha1.DrainStatus{HTTP: &v1alpha1.HTTPDrainStatus{
		Port: port, Path: "/drain-status", Scheme: v1alpha1.SchemeHTTP,
		TimeoutSeconds: 2, PeriodSeconds: 1, DrainedWhen: v1alpha1.DrainedWhenBody,
	}}
	return w
}

// TCP reads the drain status from the connections on ports.
func (w *PolicyWrapper) TCP(ports ...int32) *PolicyWrapper {
	w.Spec.DrainStatus = v1alpha1.DrainStatus{TCP: &v1alpha1.TCPDrainStatus{Ports: ports, IdleSeconds: 2}}
	return w
}

// Notify tells the workload that it drains.
func (w *PolicyWrapper) Notify(port intstr.IntOrString) *PolicyWrapper {
	w.Spec.PreStop.Notify = &v1alpha1.Notify{Port: port, Path: "/drain"}
	return w
}

// LongLived says what becomes of long-lived connections.
func (w *PolicyWrapper) LongLived(policy v1alpha1.LongLivedPolicy, noticeSeconds int32) *PolicyWrapper {
	w.Spec.LongLived = v1alpha1.LongLived{Policy: policy, NoticeSeconds: noticeSeconds}
	return w
}

// Strategy sets what the hook does.
func (w *PolicyWrapper) Strategy(strategy v1alpha1.HookStrategy) *PolicyWrapper {
	w.Spec.PreStop.Strategy = strategy
	return w
}

// ExistingHook sets what becomes of a container's own hook.
func (w *PolicyWrapper) ExistingHook(existing v1alpha1.ExistingHook) *PolicyWrapper {
	w.Spec.PreStop.ExistingHook = existing
	return w
}

// Propagation sets the least and the most time until out of rotation, in seconds.
func (w *PolicyWrapper) Propagation(least, most int32) *PolicyWrapper {
	w.Spec.PreStop.PropagationSeconds, w.Spec.PreStop.PropagationMaxSeconds = ptr.To(least), most
	return w
}

// HoldsDeletions holds a pod where its deletion is asked for, with the API's
// defaults.
func (w *PolicyWrapper) HoldsDeletions() *PolicyWrapper {
	w.Spec.Gate = v1alpha1.Gate{
		Hold: v1alpha1.HoldDeletion, MaxHoldSeconds: v1alpha1.DefaultGateMaxHoldSeconds, OnStatusFailure: v1alpha1.OnStatusFailureRelease,
	}
	return w
}

// MaxHold bounds the hold, in seconds.
func (w *PolicyWrapper) MaxHold(seconds int32) *PolicyWrapper {
	w.Spec.PreStop.MaxHoldSeconds = ptr.To(seconds)
	return w
}

// StopSignal sets preStop.stopSignal.
func (w *PolicyWrapper) StopSignal(signal v1alpha1.StopSignal) *PolicyWrapper {
	w.Spec.PreStop.StopSignal = signal
	return w
}

// GraceBounds sets the least and the most grace, in seconds.
func (w *PolicyWrapper) GraceBounds(least, most int32) *PolicyWrapper {
	w.Spec.GracePeriod.MinSeconds, w.Spec.GracePeriod.MaxSeconds = least, most
	return w
}

// Shutdown sets what the process needs after SIGTERM, in seconds.
func (w *PolicyWrapper) Shutdown(seconds int32) *PolicyWrapper {
	w.Spec.GracePeriod.ShutdownSeconds = ptr.To(seconds)
	return w
}

// Measured is what a Prometheus told of the latency, and drains of the
// shutdown: the status' holdSeconds and shutdownSeconds.
func (w *PolicyWrapper) Measured(hold, shutdown int32) *PolicyWrapper {
	w.Spec.GracePeriod.Latency = &v1alpha1.Latency{Prometheus: &v1alpha1.PrometheusLatency{Source: "default", Query: "x"}}
	w.Status.GracePeriod = &v1alpha1.GraceStatus{HoldSeconds: ptr.To(hold), ShutdownSeconds: ptr.To(shutdown)}
	return w
}

// With edits what no other method does.
func (w *PolicyWrapper) With(edit func(*v1alpha1.DrainPolicySpec)) *PolicyWrapper {
	edit(&w.Spec)
	return w
}
